"""B 10.1.3, 10.1.4: output sizes (eq. 10.7) and values (eqs. 10.8, 10.9) of every layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_most, exact
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

CURVES = ((5, 1, 0, 1), (5, 1, 2, 1), (5, 2, 0, 1), (3, 1, 1, 2))
KERNELS = range(1, 13)
# Geometries in a cell.
CHUNK = 50

CLAIMS = (
    Claim(
        "size",
        "B eq. 10.7",
        "W_out = floor((W_in - K_W + 2 P) / S) + 1, for kernels that fit (K_W <= W_in + 2 P).",
        "a layer with another output size, or one that refuses such a window",
    ),
    Claim(
        "any_kernel",
        "B eq. 10.7",
        "The same for any kernel, as it is printed, without that condition.",
        "a kernel larger than the padded input, for which lax's output size is not the formula's",
    ),
    Claim(
        "holes",
        "B eq. 10.7",
        "The same, with K_W the number of weights, for kernels with holes (dilation).",
        "a dilated layer with another output size",
    ),
    Claim(
        "general",
        "B eq. 10.7",
        "With 2 P replaced by the padding on both sides together, K by (K - 1) D + 1, and 0 where "
        "that is less, the formula is right for all: the number of windows that fit.",
        "a layer with another output size, or a count of windows that is another",
    ),
    Claim(
        "preserve",
        "B 10.1.3",
        "P pixels of padding around the input can be used to preserve the spatial dimensions.",
        "a kernel size for which no P does",
    ),
    Claim(
        "preserve_sides",
        "B 10.1.3",
        "P = (K - 1) / 2 preserves them for odd kernels; for any kernel K - 1 zeros in all do, "
        "which for even ones are uneven.",
        "an odd kernel for which P is another, or a size that the layers' SAME does not preserve",
    ),
    Claim(
        "sum",
        "B eq. 10.8",
        "Z[i, j, m] is the sum over c, k, l of X'[S (i - 1) + k, S (j - 1) + l, c] K[k, l, c, m].",
        "an output of whole numbers that is not the plain loop's",
    ),
    Claim(
        "maximum",
        "B eq. 10.9",
        "Y[i, j] is the largest Z[S (i - 1) + 1 + k, S (j - 1) + 1 + l] over 0 <= k, l < K.",
        "an output that is not the plain loop's",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Shapes of random geometries; values of small arrays; paddings of all kernel sizes."""
    import numpy as np

    from experiments import _output_shapes as parts

    draw = lambda *key: np.random.default_rng([cfg.seed, *key])
    each = -(-cfg.geometries // len(parts.KINDS))
    chunks = [(i, min(CHUNK, each - i)) for i in range(0, each, CHUNK)]
    grid = {
        f"{kind}, from {i}": lambda n=n, kind=kind, i=i, size=size: parts.compare(
            kind, size, draw(0, n, i)
        )
        for n, kind in enumerate(parts.KINDS)
        for i, size in chunks
    }
    values = {f"values {i}": lambda i=i: parts.values(draw(1, i)) for i in range(cfg.arrays)}
    found = cells.all({**grid, **values})
    return {
        "shapes": {
            kind: _added([found[f"{kind}, from {i}"] for i, _ in chunks]) for kind in parts.KINDS
        },
        "values": [found[key] for key in values],
        "kernels": [parts.preserving(kernel) for kernel in KERNELS],
        "curves": [parts.curve(*geometry) for geometry in CURVES],
    }


def _added(parts: list[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """The counts of several cells, added up by layer."""
    names = dict.fromkeys(name for part in parts for name in part)
    keys = ("given", "refused", "printed", "general")
    return {
        name: {key: sum(part[name][key] for part in parts if name in part) for key in keys}
        for name in names
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Exact comparisons all of them."""
    shapes, kernels = data["shapes"], data["kernels"]
    layers = {kind: _layers(rows) for kind, rows in shapes.items()}
    total = lambda rows, key: sum(row[key] for row in rows)
    fit = layers["even padding"]
    every = [row for rows in layers.values() for row in rows]
    counts = [rows["formulas"] for rows in shapes.values()]
    given = total(every, "given") - total(every, "refused")
    odd = [k for k in kernels if k["kernel"] % 2]
    differ = lambda what: exact(
        total(data["values"], f"{what}_differ"), total(data["values"], what), f"{what} and loops"
    )
    return {
        "size": exact(total(fit, "printed"), total(fit, "given"), "output shapes"),
        "any_kernel": exact(
            shapes["too large"]["lax"]["printed"],
            shapes["too large"]["lax"]["given"],
            "output shapes of windows that do not fit",
        ),
        "holes": exact(
            total(layers["dilated"], "printed"),
            total(layers["dilated"], "given"),
            "output shapes of dilated layers",
        ),
        "general": all_of(
            exact(total(every, "general"), given, "output shapes"),
            exact(total(counts, "general"), total(counts, "given"), "counts of windows"),
        ),
        "preserve": at_most(
            sum(not k["P"] for k in kernels),
            0,
            f"of kernel sizes 1 to {len(kernels)}, those without a P",
        ),
        "preserve_sides": all_of(
            exact(sum(k["P"] != [(k["kernel"] - 1) // 2] for k in odd), len(odd), "paddings"),
            exact(sum(k["total"] != k["kernel"] - 1 for k in kernels), len(kernels), "totals"),
            exact(total(kernels, "lost"), total(kernels, "sizes"), "sizes with SAME"),
        ),
        "sum": differ("sums"),
        "maximum": differ("maxima"),
    }


def _layers(rows: Mapping[str, Any]) -> list[Mapping[str, int]]:
    """The counts of layers, without those of the formulas themselves."""
    return [row for name, row in rows.items() if name != "formulas"]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Shapes by kind and layer; the paddings that preserve sizes."""
    columns = ("given", "refused", "printed", "general")
    rows = [
        [kind, name, *(f"{row[column]:,}" for column in columns)]
        for kind, layers in data["shapes"].items()
        for name, row in layers.items()
        if name != "formulas"
    ]
    header = ["windows", "layer", "geometries", "refused", "not as printed", "not as generalised"]
    paddings = [
        [k["kernel"], ", ".join(map(str, k["P"])) or "none", k["total"]] for k in data["kernels"]
    ]
    return [
        Table("Output shapes", header, rows),
        Table("Padding that preserves the size", ["K", "P", "both sides together"], paddings),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Output size against input size, as printed and as it is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, curve in zip(
        figure.subplots(1, len(CURVES), sharey=True), data["curves"], strict=True
    ):
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.plot(
            curve["sizes"], curve["printed"], "-", color="tab:red", label="eq. 10.7 as printed"
        )
        actual = [
            (n, m) for n, m in zip(curve["sizes"], curve["actual"], strict=True) if m is not None
        ]
        axes.plot(*zip(*actual, strict=True), "o", color="tab:blue", markersize=4, label="lax")
        axes.set(title=curve["label"], xlabel="input size (pixels)")
    figure.axes[0].set(ylabel="output size (pixels)")
    figure.axes[0].legend()
    return {"sizes": figure}


QUESTION = Question(
    name="output_shapes",
    title="How large is a layer's output, and what is in it?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="Eq. 10.7 as printed knows one kind of window: without holes, padded by the same amount "
    "on both sides, and no larger than the padded input. For a larger one it gives 0 or a negative "
    "number; lax returns an empty array, and the layers here refuse. With an even kernel no P "
    "keeps the size.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
