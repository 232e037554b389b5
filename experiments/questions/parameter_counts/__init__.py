"""Parameters and multiply-adds of every layer: the formulas of A 1.3, 2.4, 3.2, 5.1 to 5.3."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from experiments.parameter_counts.layers import FORMULAS, Case, costs_of, counts_of
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Counts, Records, Verdict

SHAPE = ("h", "w", "c", "c_out", "s")  # what layers of several kinds share
SIDES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of the picture's images
Pairs = Annotated[Sequence[Sequence[int]], "list of at least 1 lists of 2 whole numbers >= 1"]
OddCounts = Annotated[Sequence[int], "list of at least 1 odd whole numbers >= 3"]

question = lab.Question(
    "parameter_counts",
    "How many parameters and multiply-adds does each layer have?",
    note='The reduction factor s^2 / (hw), "roughly" in the chapter, is exact for weights. Where '
    "s = 1 or c' = 1 a separable convolution has more weights than the convolution. XLA does not "
    "count a convolution's products with the zeros of the border: with padding SAME and s = 2k + 1 "
    "an axis of n pixels has n s - k (k + 1) products that count, not n s.",
)


@question.check
def check(
    sizes: Sequence[Sequence[int]],
    channels: Sequence[Sequence[int]],
    kernels: Sequence[int],
    groups: int,
) -> None:
    """Maps hold the largest kernel; groups divide the channels."""
    for i, size in enumerate(sizes):
        if min(size) < max(kernels):
            raise ConfigError(
                f"sizes[{i}]: expected [h, w], no smaller than the largest kernel, got {size}"
            )
    for i, pair in enumerate(channels):
        if any(n % groups for n in pair):
            raise ConfigError(
                f"channels[{i}]: expected [c, c'], multiples of groups={groups}, got {pair}"
            )


@question.measure(
    full={
        "typical_channels": [32, 64, 128, 256, 512, 1024],
        "sizes": [[7, 8], [9, 8], [16, 16], [28, 28], [33, 20]],
        "channels": [[4, 8], [8, 16], [16, 4], [32, 64]],
        "kernels": [3, 5, 7],
    }
)
def measure(
    cells: Cells,
    *,
    image: Annotated[
        Sequence[int], "list of 3 whole numbers >= 1", "the chapter's RGB image, A 1.3"
    ] = (1024, 1024, 3),
    kernel: Annotated[Count, "of the layers on it"] = 3,
    sizes: Annotated[Pairs, "h, w: every layer is counted on every one,"] = ((6, 7), (9, 8)),
    channels: Annotated[Pairs, "with c, c' of every pair,"] = ((4, 8), (8, 16)),
    kernels: Annotated[OddCounts, "and every kernel size"] = (3, 5),
    groups: Annotated[Count, "of the grouped convolution, A 5.2"] = 4,
    typical_kernels: Annotated[OddCounts, 'A 5.3, "for typical sizes": kernel sizes,'] = (3, 5, 7),
    typical_channels: Annotated[Counts, "and channels in and out"] = (32, 128, 512),
) -> dict[str, Any]:
    """The chapter's image; a grid with XLA's count, and beside each depthwise and grouped layer the
    convolution of its channels; the typical sizes; the picture's."""
    h, w, c = image
    grid = [
        Case(kind, *size, c, c if kind == "depthwise" else c_out, s, groups if by_group else 1)
        for kind, by_group in ((kind, kind == "grouped") for kind in FORMULAS)
        for size in sizes
        for c, c_out in channels
        for s in ([1] if kind in ("dense", "1x1") else kernels)
    ]
    reduced = [q for q in grid if q.kind in ("depthwise", "grouped")]
    typical, pictured = ("convolution", "separable"), ("dense", "locally connected", "convolution")
    sets = {
        "large": [Case(kind, h, w, c, c, kernel) for kind in FORMULAS if kind != "grouped"],
        "grid": grid,
        "reference": [replace(q, kind="convolution", groups=1) for q in reduced],
        "typical": [
            Case(kind, 8, 8, c, c_out, s)
            for s in typical_kernels
            for c in typical_channels
            for c_out in typical_channels
            for kind in typical
        ],
        "sides": [Case(k, n, n, c, c, kernel) for k in (*pictured, "separable") for n in SIDES],
    }
    costly = [(name, q) for name in ("grid", "reference") for q in sets[name]]
    found = cells.all({str(q): lambda q=q: costs_of(q) for _, q in costly})
    return {
        "layers": [{"set": name, **counts_of(q)} for name, cases in sets.items() for q in cases],
        "costs": [{"set": n, **asdict(q), **cost} for n, q in costly for cost in found[str(q)]],
    }


def by_formula(layers: Records, *kinds: str) -> Verdict:
    """Counts are whole numbers: they are equal, or they differ."""
    rows = claimed(layers).where(kind=kinds)
    return lab.none_of((r["weights"] != r["formula"] for r in rows), "counts of weights")


def claimed(layers: Records) -> Records:
    """All but those that are there to be compared with."""
    return layers.where(set=("large", "grid", "typical", "sides"))


@question.answer
def answer(layers: Records) -> str:
    large = layers.where(set="large").by("kind", of="weights")
    dense, local, shared = (large[k][0] for k in ("dense", "locally connected", "convolution"))
    return (
        f"Exactly as many as the chapters say: on their image a dense layer {dense:,}, a locally "
        f"connected one {local:,}, a convolution {shared:,}."
    )


@question.claim("A 1.3", "a module whose leaves count something else")
def dense(layers: Records) -> Verdict:
    """A dense layer on an image has (hwc)(hwc') = (hw)^2 c c' weights."""
    return by_formula(layers, "dense")


@question.claim("A 1.3", "a count nearer to another power of ten")
def order(layers: Records) -> Verdict:
    """On an image (1024, 1024, 3) a dense layer has on the order of 10^13 weights."""
    largest = max(layers.where(set="large", kind="dense")["weights"])
    return lab.between(math.log10(largest), 12.5, 13.5, f"log10 of {largest:,} weights")


@question.claim("A 2.4", "a module whose leaves count something else")
def locally_connected(layers: Records) -> Verdict:
    """A locally-connected layer has h w s^2 c c' weights."""
    return by_formula(layers, "locally connected")


@question.claim("A 2.4", "two modules whose counts have another ratio")
def reduction(layers: Records) -> Verdict:
    """A locally-connected layer has roughly s^2 / (hw) of the weights of the dense layer."""
    layers = claimed(layers)
    dense = layers.where(kind="dense").by("h", "w", "c", "c_out", of="weights")
    full = lambda r: dense[r["h"], r["w"], r["c"], r["c_out"]][0]  # a dense layer has no `s`
    # As a product of whole numbers.
    return lab.none_of(
        (
            r["weights"] * r["h"] * r["w"] != full(r) * r["s"] ** 2
            for r in layers.where(kind="locally connected")
        ),
        "ratios",
    )


@question.claim(
    "A 3.2",
    "a module whose weights or biases count something else, or whose count depends on h, w",
)
def convolution(layers: Records) -> Verdict:
    """A convolution's parameter count is independent of h, w: only s^2 c c' + c'."""
    rows = claimed(layers).where(kind="convolution")
    biases = lab.none_of((r["biases"] != r["c_out"] for r in rows), "counts of biases")
    return lab.all_of(by_formula(layers, "convolution"), biases)


@question.claim("A 5.1, 5.2", "a module whose leaves do not count c c', s^2 c, s^2 c c' / groups")
def variants(layers: Records) -> Verdict:
    """1x1: W ~ (c', c). Depthwise: W ~ (s, s, c). Grouped: channels mix within a group only."""
    return by_formula(layers, "1x1", "depthwise", "grouped")


@question.claim("A 5.3", "a module whose leaves count something else")
def separable(layers: Records) -> Verdict:
    """A depthwise separable convolution has s^2 c + c c' weights."""
    return by_formula(layers, "separable")


@question.claim("A 5.3", "a typical size at which it is more than half of that")
def smaller(layers: Records) -> Verdict:
    """For typical sizes, a depthwise separable convolution is significantly smaller than a standard
    one: s^2 c + c c' weights, not s^2 c c'."""
    typical = layers.where(set="typical").by("kind")
    full = typical["convolution"].by(*SHAPE, of="weights")
    shares = [row["weights"] / full[shape(row)][0] for row in typical["separable"]]
    return lab.at_most(max(shares), 0.5, "largest ratio of weights to a convolution's")


@question.claim("A 1.3, 2.4, 3.2, 5", "a layer of which XLA's cost analysis counts another number")
def multiply_adds(costs: Records) -> Verdict:
    """Every weight is used once in a dense or locally-connected layer, and once a pixel where it is
    shared: these are the layer's multiply-adds."""
    rows = costs.where(set="grid")
    return lab.none_of((r["formula"] != r["xla"] for r in rows), "counts by XLA")


@question.claim(
    "A 5.2", "one of them with no fewer weights, or no fewer multiply-adds by XLA's count"
)
def compute(layers: Records, costs: Records) -> Verdict:
    """Depthwise and groupwise convolutions reduce compute and parameters."""
    weights = layers.where(set="reference").by(*SHAPE, of="weights")
    full = costs.where(set="reference").by(*SHAPE, "padding", of="xla")
    reduced = {"set": "grid", "kind": ("depthwise", "grouped")}
    wrong = [r["weights"] >= weights[shape(r)][0] for r in layers.where(**reduced)]
    wrong += [r["xla"] >= full[*shape(r), r["padding"]][0] for r in costs.where(**reduced)]
    return lab.none_of(wrong, "counts that should be smaller")


def shape(row: dict[str, Any]) -> tuple[int, ...]:
    return tuple(row[name] for name in SHAPE)


@question.table
def large(layers: Records) -> lab.Table:
    """The chapter's image."""
    rows = layers.where(set="large")
    dense, s = rows[0], rows[1]["s"]
    factor = f"s^2 / (hw) = {s**2 / (dense['h'] * dense['w']):.2g}"
    found = (
        {
            "layer": r["kind"], "weights": f"{r['weights']:,}", "biases": f"{r['biases']:,}",
            "share of the dense layer's": f"{r['weights'] / dense['weights']:.2g}",
        }
        for r in rows
    )  # fmt: skip
    return lab.Table.of(f"A layer on an image {image(dense)}, s = {s}; {factor}", found)


@question.table
def grid(layers: Records, costs: Records) -> lab.Table:
    """The smallest size of the grid."""
    first = layers.where(set="grid")[0]
    rows = (
        {
            "layer": r["kind"], "s": r["s"], "c'": r["c_out"], "weights": r["weights"],
            "padding": c["padding"], "formula": c["formula"], "XLA": f"{c['xla']:.0f}",
        }
        for r in layers.where(set="grid", **{name: first[name] for name in ("h", "w", "c")})
        for c in costs.where(set="grid", kind=r["kind"], **{name: r[name] for name in SHAPE})
    )  # fmt: skip
    return lab.Table.of(f"Multiply-adds of one image {image(first)}", rows)


def image(row: dict[str, Any]) -> str:
    return f"{row['h']} x {row['w']} x {row['c']}"


@question.table
def typical(layers: Records) -> lab.Rows:
    """Separable: share of a convolution's weights, 1 / c' + 1 / s^2"""
    for s, rows in layers.where(set="typical", kind="separable").by("s").items():
        shares = [share(row) for row in rows]
        yield {
            "s": s, "smallest": f"{min(shares):.3f}", "largest": f"{max(shares):.3f}",
            "1 / s^2": f"{1 / s**2:.3f}", "sizes": len(shares),
        }  # fmt: skip


def share(row: dict[str, Any]) -> float:
    """Of a convolution's weights."""
    return row["weights"] / (row["s"] ** 2 * row["c"] * row["c_out"])


@question.figure(10, 4.2)
def weights(figure: Figure, layers: Records) -> None:
    """Left: weights against the image's side; only with shared weights they do not grow. Right: the
    share of a convolution's weights that a separable one has, above 1 / s^2 (dotted)."""
    left, right = figure.subplots(1, 2)
    sides = layers.where(set="sides").by("kind")
    for (kind, rows), marker in zip(sides.items(), "osD^", strict=True):
        line = left.plot(rows["h"], rows["formula"], lw=1)[0]
        left.plot(rows["h"], rows["weights"], marker, color=line.get_color(), label=kind)
    top = SIDES[-1], max(sides["dense"]["weights"])
    power = math.floor(math.log10(top[1]))
    text = rf"${top[1] / 10**power:.2g} \times 10^{{{power}}}$"
    left.annotate(text, top, (-12, -4), textcoords="offset points", ha="right")
    left.set(xlabel="side of the image $h = w$ (pixels)", ylabel="weights", yscale="log")
    case = rows[0]
    left.set_title(f"$s = {case['s']}$, $c = c' = {case['c']}$: formulas (lines), counts (marks)")
    for s, rows in layers.where(set="typical", kind="separable").by("s").items():
        last = {row["c_out"]: share(row) for row in rows}
        line = right.plot(list(last), list(last.values()), "o-", label=f"s = {s}")[0]
        right.axhline(1 / s**2, color=line.get_color(), lw=1, ls=":")
    right.set(xlabel="output channels $c'$", ylabel="share of $s^2 c\\, c'$", ylim=0)
    right.set_title("separable convolution; dotted: $1 / s^2$")
    for axes, ticks in ((left, SIDES), (right, last)):
        lab.log_axes(axes, x=list(ticks))
        axes.legend()


main = lab.command(question)
