"""Parameters and multiply-adds of every layer: the formulas of A 1.3, 2.4, 3.2, 5.1 to 5.3."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_most, between, exact
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

SIDES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # of the picture's images

CLAIMS = (
    Claim(
        "dense",
        "A 1.3",
        "A dense layer on an image has (hwc)(hwc') = (hw)^2 c c' weights.",
        "a module whose leaves count something else",
    ),
    Claim(
        "order",
        "A 1.3",
        "For an image (1024, 1024, 3) that is on the order of 10^13.",
        "a count nearer to another power of ten",
    ),
    Claim(
        "locally_connected",
        "A 2.4",
        "A locally-connected layer has h w s^2 c c' weights.",
        "a module whose leaves count something else",
    ),
    Claim(
        "reduction",
        "A 2.4",
        "Compared with the dense layer that is a reduction factor of roughly s^2 / (hw).",
        "two modules whose counts have another ratio",
    ),
    Claim(
        "convolution",
        "A 3.2",
        "A convolution's parameter count is independent of h, w: only s^2 c c' + c'.",
        "a module whose weights or biases count something else, or whose count depends on h, w",
    ),
    Claim(
        "variants",
        "A 5.1, 5.2",
        "1x1: W ~ (c', c). Depthwise: W ~ (s, s, c). Grouped: channels mix within a group only.",
        "a module whose leaves do not count c c', s^2 c, s^2 c c' / groups",
    ),
    Claim(
        "separable",
        "A 5.3",
        "A depthwise separable convolution has s^2 c + c c' weights.",
        "a module whose leaves count something else",
    ),
    Claim(
        "smaller",
        "A 5.3",
        "For typical sizes, this is significantly smaller than s^2 c c'.",
        "a typical size at which it is more than half of that",
    ),
    Claim(
        "multiply_adds",
        "A 1.3, 2.4, 3.2, 5",
        "Every weight is used once in a dense or locally-connected layer, and once a pixel where "
        "it is shared: these are the layer's multiply-adds.",
        "a layer of which XLA's cost analysis counts another number",
    ),
    Claim(
        "compute",
        "A 5.2",
        "Depthwise and groupwise convolutions reduce compute and parameters.",
        "one of them with no fewer weights, or no fewer multiply-adds by XLA's count",
    ),
)


def check(cfg: "DictConfig") -> None:
    """Maps hold the largest kernel; groups divide the channels."""
    from cnnlab.config import ConfigError

    for i, size in enumerate(cfg.sizes):
        if min(size) < max(cfg.kernels):
            raise ConfigError(
                f"sizes[{i}]: expected [h, w], no smaller than the largest kernel, got {size}"
            )
    for i, pair in enumerate(cfg.channels):
        if any(n % cfg.groups for n in pair):
            raise ConfigError(
                f"channels[{i}]: expected [c, c'], multiples of groups={cfg.groups}, got {pair}"
            )


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """The chapter's image, the grid with XLA's count, the typical sizes, and the picture's."""
    from experiments._parameter_counts import collect

    return collect(cfg, cells, SIDES)


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Counts are whole numbers: they are equal, or they differ."""
    rows = [*data["large"], *data["grid"], *data["typical"], *data["sides"]]
    of = defaultdict(list)
    for row in rows:
        of[row["kind"]].append(row)

    def formula(*kinds: str) -> Verdict:
        found = [row for kind in kinds for row in of[kind]]
        return exact(
            sum(r["weights"] != r["formula"] for r in found), len(found), "counts of weights"
        )

    costs = [pair for row in data["grid"] for pair in row["multiply_adds"].values()]
    largest = max(r["weights"] for r in data["large"] if r["kind"] == "dense")
    return {
        "dense": formula("dense"),
        "order": between(math.log10(largest), 12.5, 13.5, f"log10 of {largest:,} weights"),
        "locally_connected": formula("locally connected"),
        "reduction": _reduction(rows),
        "convolution": all_of(
            formula("convolution"),
            exact(
                sum(r["biases"] != r["c_out"] for r in of["convolution"]),
                len(of["convolution"]),
                "counts of biases",
            ),
        ),
        "variants": formula("1x1", "depthwise", "grouped"),
        "separable": formula("separable"),
        "smaller": at_most(
            max(b / a for a, b in _pairs(data["typical"], "convolution", "separable")),
            0.5,
            "largest ratio of weights to a convolution's",
        ),
        "multiply_adds": exact(sum(a != b for a, b in costs), len(costs), "counts by XLA"),
        "compute": _compute(data["grid"]),
    }


def _pairs(rows: Any, first: str, second: str) -> list[tuple[int, int]]:
    """The weights of two kinds at the same sizes, where both are counted."""
    key = lambda r: (r["h"], r["w"], r["c"], r["c_out"], r["s"])
    found = {key(r): r["weights"] for r in rows if r["kind"] == second}
    return [(r["weights"], found[key(r)]) for r in rows if r["kind"] == first and key(r) in found]


def _reduction(rows: list[Mapping[str, Any]]) -> Verdict:
    """`local / dense = s^2 / (hw)`, as a product of whole numbers; a dense layer has no `s`."""
    dense = {(r["h"], r["w"], r["c"], r["c_out"]): r["weights"] for r in rows
             if r["kind"] == "dense"}  # fmt: skip
    differ = [
        r["weights"] * r["h"] * r["w"] != dense[r["h"], r["w"], r["c"], r["c_out"]] * r["s"] ** 2
        for r in rows
        if r["kind"] == "locally connected"
    ]
    return exact(sum(differ), len(differ), "ratios")


def _compute(grid: list[Mapping[str, Any]]) -> Verdict:
    """Each depthwise and grouped layer, and the convolution of its channels, in both counts."""
    smaller = []
    for row in grid:
        if (other := row["convolution"]) is not None:
            costs = other["multiply_adds"]
            smaller.append(row["weights"] < other["weights"])
            smaller += [xla < costs[p][1] for p, (_, xla) in row["multiply_adds"].items()]
    return exact(smaller.count(False), len(smaller), "counts that should be smaller")


def tables(data: Mapping[str, Any]) -> list[Table]:
    """The chapter's image; the smallest size of the grid; the typical sizes of A 5.3."""
    first = data["large"][0]
    pixels = first["h"] * first["w"]
    large = [
        [
            r["kind"],
            f"{r['weights']:,}",
            f"{r['biases']:,}",
            f"{r['weights'] / first['weights']:.2g}",
        ]
        for r in data["large"]
    ]
    small = data["grid"][0]
    same = [r for r in data["grid"] if all(r[k] == small[k] for k in ("h", "w", "c"))]
    grid = [
        [r["kind"], r["s"], r["c_out"], r["weights"], padding, formula, f"{xla:.0f}"]
        for r in same
        for padding, (formula, xla) in r["multiply_adds"].items()
    ]
    typical = defaultdict(list)
    for row in data["typical"]:
        if row["kind"] == "separable":
            share = row["weights"] / (row["s"] ** 2 * row["c"] * row["c_out"])
            typical[row["s"]].append(share)
    shares = [
        [s, f"{min(v):.3f}", f"{max(v):.3f}", f"{1 / s**2:.3f}", len(v)] for s, v in typical.items()
    ]
    return [
        Table(
            f"A layer on an image {first['h']} x {first['w']} x {first['c']}, s = "
            f"{data['large'][1]['s']}; s^2 / (hw) = {data['large'][1]['s'] ** 2 / pixels:.2g}",
            ["layer", "weights", "biases", "share of the dense layer's"],
            large,
        ),
        Table(
            f"Multiply-adds of one image {small['h']} x {small['w']} x {small['c']}",
            ["layer", "s", "c'", "weights", "padding", "formula", "XLA"],
            grid,
        ),
        Table(
            "Separable: share of a convolution's weights, 1 / c' + 1 / s^2",
            ["s", "smallest", "largest", "1 / s^2", "sizes"],
            shares,
        ),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Weights against the image's side; the share that a separable convolution has."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, marker in zip(("dense", "locally connected", "convolution", "separable"), "osD^",
                            strict=True):  # fmt: skip
        rows = [r for r in data["sides"] if r["kind"] == kind]
        sides = [r["h"] for r in rows]
        line = left.plot(sides, [r["formula"] for r in rows], lw=1)[0]
        left.plot(sides, [r["weights"] for r in rows], marker, color=line.get_color(), label=kind)
    top = rows[-1]["h"], max(r["weights"] for r in data["sides"])
    left.annotate(f"{top[1]:.2g}", top, (-12, -4), textcoords="offset points", ha="right")
    left.set(
        xlabel="side of the image h = w (pixels)", ylabel="weights", xscale="log", yscale="log"
    )
    left.set_xticks(sides, map(str, sides))
    left.minorticks_off()
    left.set_title(f"s = {rows[0]['s']}, c = c' = {rows[0]['c']}: formulas (lines), leaves (marks)")
    left.legend()
    shares = defaultdict(dict)
    for row in data["typical"]:
        if row["kind"] == "separable":
            shares[row["s"]][row["c_out"]] = row["weights"] / (
                row["s"] ** 2 * row["c"] * row["c_out"]
            )
    for s, share in shares.items():
        line = right.plot(list(share), list(share.values()), "o-", label=f"s = {s}")[0]
        right.axhline(1 / s**2, color=line.get_color(), lw=1, ls=":")
    right.set(xlabel="output channels c'", ylabel="share of s² c c'", xscale="log", ylim=0)
    channels = list(share)
    right.set_xticks(channels, map(str, channels))
    right.minorticks_off()
    right.set_title("separable convolution; dotted: 1 / s²")
    right.legend()
    return {"weights": figure}


QUESTION = Question(
    name="parameter_counts",
    title="How many parameters and multiply-adds does each layer have?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note='The reduction factor s^2 / (hw), "roughly" in the chapter, is exact for weights. Where '
    "s = 1 or c' = 1 a separable convolution has more weights than the convolution. XLA does not "
    "count a convolution's products with the zeros of the border: with padding SAME and s = 2k + 1 "
    "an axis of n pixels has n s - k (k + 1) products that count, not n s.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
