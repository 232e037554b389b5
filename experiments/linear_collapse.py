"""A 4.2: a stack of linear convolutions as a single one, and what nonlinearities change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, estimate, exact, paired
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

KINDS = ("valid", "circular", "same")
ACTIVATIONS = {"relu": "ReLU", "identity": "none (linear)"}
# Of the picture: two layers of 8 pixels, one channel.
PICTURE = [[1, 2, 3], [1, 1, 1]]

CLAIMS = (
    Claim(
        "as_printed",
        "A 4.2",
        "A stack of purely linear convolutions is equivalent to a single convolution with a larger "
        'kernel (with the "same" padding of the chapter, zeros).',
        "a stack of zero-padded layers whose matrix has unequal entries on a diagonal, which no "
        "single convolution's has, whatever its kernel",
    ),
    Claim(
        "equivalent",
        "A 4.2",
        'Without padding ("valid"), and with circular padding, a stack of linear convolutions of '
        "any strides and dilations is the one convolution with the composed kernel; with zeros "
        "outputs that read no padding of a map in the middle are the same.",
        "one such output that differs",
    ),
    Claim(
        "nonlinear",
        "A 4.2",
        "Nonlinearities between the convolutions avoid this collapse.",
        "a stack with ReLUs for which f(x) + f(-x) = 2 f(0) at every output, as for an affine map",
    ),
    Claim(
        "trained",
        "A 4.2",
        "A trained linear stack, replaced by the composed convolution, is the same classifier.",
        "a class probability that changes by more than 1e-4, tens of times what rounding explains",
    ),
    Claim(
        "power",
        "A 4.2",
        "Alternating convolutions with nonlinearities gains representational power.",
        "a test accuracy with ReLUs that is not above that of the same linear stack (paired seeds)",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Random stacks against their composed kernels; networks with and without ReLUs."""
    import numpy as np

    from experiments import _linear_collapse as parts

    draw = lambda *key: np.random.default_rng([cfg.seed, *key])
    thunks = {
        f"stack {i}": lambda i=i: parts.stack_against_composed(draw(0, i))
        for i in range(cfg.stacks)
    }
    diagonals = {
        f"matrix {i}": lambda i=i: parts.uneven_diagonals(draw(1, i)) for i in range(cfg.stacks)
    }
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    networks = {name: parts.Networks(cfg, name) for name in ACTIVATIONS}
    trained = {
        f"{name}, seed {seed}": lambda name=name, seed=seed: networks[name].measure(seed)
        for name in ACTIVATIONS
        for seed in seeds
    }
    values = cells.all({**thunks, **diagonals, **trained})
    return {
        "stacks": [values[key] for key in thunks],
        "uneven": [values[key] for key in diagonals],
        "picture": parts.two_matrices(PICTURE, 8),
        "networks": {
            name: [values[f"{name}, seed {seed}"] for seed in seeds] for name in ACTIVATIONS
        },
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Exact comparisons of integers; rounding for trained networks; paired seeds for accuracy."""
    stacks, networks = data["stacks"], data["networks"]
    total = lambda kind, what: sum(s[kind][what] for s in stacks)
    equal = {kind: (total(kind, "differ"), total(kind, "outputs")) for kind in KINDS[:2]}
    equal["same, inside"] = (total("same", "differ_inside"), total("same", "inside"))
    gain = paired(*([row["accuracy"] for row in networks[name]] for name in ACTIVATIONS))
    uneven = data["uneven"]
    return {
        "as_printed": exact(
            sum(n > 0 for n in uneven), len(uneven), "zero-padded stacks and any single convolution"
        ),
        "equivalent": all_of(*(exact(*equal[kind], f"outputs ({kind})") for kind in equal)),
        "nonlinear": at_least(
            min(s["nonlinear"] for s in stacks),
            1,
            f"outputs of {len(stacks)} ReLU stacks that no affine map has, the fewest of a stack",
        ),
        "trained": at_most(
            max(row["change"] for row in networks["identity"]),
            1e-4,
            f"largest change of a probability ({len(networks['identity'])} networks)",
        ),
        "power": at_least(gain, 0.0, "gain in test accuracy by ReLU"),
    }


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Outputs that differ, by padding; accuracies."""
    rows = []
    for kind in KINDS:
        numbers = [s[kind] for s in data["stacks"]]
        total = lambda what, numbers=numbers: sum(n[what] for n in numbers)
        border = total("outputs") - total("inside")
        rows.append(
            [
                kind,
                f"{total('inside'):,}",
                f"{total('differ_inside'):,}",
                f"{border:,}",
                f"{total('differ') - total('differ_inside'):,}",
                f"{sum(n['differ'] > 0 for n in numbers)} of {len(numbers)}",
            ]
        )
    accuracies = []
    for name, label in ACTIVATIONS.items():
        found = data["networks"][name]
        e = estimate([100 * row["accuracy"] for row in found])
        accuracies.append(
            [label, f"{found[0]['parameters']:,}", f"{e.mean:.2f}", f"{e.deviation:.2f}", e.n]
        )
    one = data["networks"]["identity"]
    changes = [
        "x".join(map(str, one[0]["kernel"])),
        "x".join(map(str, one[0]["stride"])),
        f"{max(row['change'] for row in one):.1e}",
        f"{sum(row['changed'] for row in one)} of {sum(row['predictions'] for row in one):,}",
    ]
    header = ["padding", "interior outputs", "differ", "border outputs", "differ", "stacks"]
    return [
        Table("Stacks of linear convolutions against the composed one", header, rows),
        Table(
            "Test accuracy (%)",
            ["activation", "parameters", "mean", "deviation", "n"],
            accuracies,
        ),
        Table(
            "The trained linear stacks as one convolution",
            ["kernel", "stride", "largest change of a probability", "changed predictions"],
            [changes],
        ),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """The matrices of a zero-padded stack and of its composed layer; accuracies by seed."""
    from matplotlib.figure import Figure

    matrices = dict(data["picture"])
    pairs = [zip(*rows, strict=True) for rows in zip(*matrices.values(), strict=True)]
    matrices["difference"] = [[a - b for a, b in row] for row in pairs]
    titles = {
        "stack": f"zero-padded layers {PICTURE[0]}, {PICTURE[1]}",
        "composed": "the composed kernel, zero-padded",
        "difference": "difference",
    }
    border = Figure(figsize=(10, 3.9), layout="constrained")
    for axes, (name, matrix) in zip(border.subplots(1, 3), matrices.items(), strict=True):
        axes.imshow(matrix, cmap="RdBu_r", vmin=-8, vmax=8)
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                if value:
                    axes.text(j, i, f"{value:g}", ha="center", va="center", fontsize=9)
        axes.set(title=titles[name], xticks=[], yticks=[], xlabel="input", ylabel="output")
    accuracy = Figure(figsize=(6, 3.6), layout="constrained")
    axes = accuracy.subplots()
    values = {
        label: [100 * row["accuracy"] for row in data["networks"][name]]
        for name, label in ACTIVATIONS.items()
    }
    for pair in zip(*values.values(), strict=True):
        axes.plot(range(2), pair, "o-", color="tab:blue", alpha=0.6)
    axes.set(xticks=range(2), xticklabels=list(values), xlim=(-0.4, 1.4))
    axes.set(xlabel="activation between the convolutions", ylabel="test accuracy (%)")
    axes.set(title="The same stack with and without ReLUs, a line a seed")
    return {"border": border, "accuracy": accuracy}


QUESTION = Question(
    name="linear_collapse",
    title="Is a stack of linear convolutions a single convolution?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="As printed the claim is loose: with zero padding a stack is not a single convolution, as "
    "the maps in the middle are cut off at the border, where a larger kernel would see on. It is "
    "exact without padding and with circular padding, and everywhere far enough from the border.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
