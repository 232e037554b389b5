"""A 6.2: a convolution by unfold, a matrix product and fold, beside the libraries' own."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import (
    INCONCLUSIVE,
    Verdict,
    all_of,
    at_least,
    at_most,
    estimate,
    exact,
)
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Convolutions that a library provides; `native` calls oneDNN's.
LIBRARIES = ("lax", "native", "torch", "torch channels-last")
# Each recipe with the library that it is written in.
RECIPES = {"unfold (JAX)": "lax", "unfold (PyTorch)": "torch"}
# What "heavily optimized" should gain at the least, on average.
MUCH = 2.0

CLAIMS = (
    Claim(
        "product",
        "A 6.2",
        "unfold turns local patches into columns, and a product with a weight matrix then "
        "implements the convolution.",
        "an output of whole numbers that differs from lax's (or PyTorch's)",
    ),
    Claim(
        "transpose",
        "A 6.2",
        "fold is the transpose of unfold, and so gives the gradients of the convolution.",
        "<unfold(x), p> that is not <x, fold(p)>, or an entry of a gradient that is not lax's",
    ),
    Claim(
        "reassembles",
        "A 6.2",
        "fold can reassemble the output: with windows of one pixel.",
        "an entry of the reassembled output that is not the convolution's",
    ),
    Claim(
        "undoes",
        "A 6.2",
        "fold can reassemble what unfold took apart (the pair as if one undid the other).",
        "an entry of fold(unfold(x)) that is not x's",
    ),
    Claim(
        "counts",
        "A 6.2",
        "fold(unfold(x)) is x times the number of windows that read each pixel.",
        "an entry that differs",
    ),
    Claim(
        "optimized",
        "A 6.2",
        "Library-provided implementations are heavily optimized: beside the chapter's recipe in "
        "the same library.",
        "less than twice as fast in the geometric mean over the cases",
    ),
    Claim(
        "didactic",
        "A 6.2",
        "Custom implementations are therefore primarily didactic: none is faster than lax.",
        "a case in which one of this laboratory's own algorithms is faster than lax",
    ),
    Claim(
        "didactic_best",
        "A 6.2",
        "The same beside the fastest of the libraries (lax, oneDNN, PyTorch where installed).",
        "a case in which one of this laboratory's own algorithms is faster than all of them",
    ),
)


def check(cfg: "DictConfig") -> None:
    """The cases are in the benchmark's grid."""
    from cnnlab.bench.grid import GRID
    from cnnlab.config import ConfigError
    from cnnlab.config.messages import nearest

    for i, name in enumerate(cfg.cases):
        if name not in GRID:
            close = nearest(name, GRID, cutoff=0.0)
            raise ConfigError(
                f"cases[{i}]: expected a case of the grid, as {close!r}, got {name!r}"
            )


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Exact comparisons on random geometries; times of all routes to some convolutions."""
    import numpy as np

    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.grid import GRID
    from cnnlab.bench.measurements import timed
    from experiments import _from_scratch as parts

    missing = torch_missing() if "torch" in cfg.peers else "not asked for"
    peers = [] if missing else ["torch"]
    equal = {
        f"geometry {i}": lambda i=i: parts.equalities(
            np.random.default_rng([cfg.seed, i]), torch=not missing
        )
        for i in range(cfg.geometries)
    }
    more = functools.partial(parts.recipes, torch=not missing)
    options = {"repeats": cfg.repeats, "seconds": cfg.seconds, "seed": cfg.seed, "peers": peers}
    times = {name: lambda name=name: timed(GRID[name], more=more, **options) for name in cfg.cases}
    values = cells.all({**equal, **times})
    return {
        "torch": missing or "installed",
        "equal": [values[key] for key in equal],
        "times": {name: values[name] for name in times},
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Exact comparisons; ratios of times within interleaved runs."""

    def equal(name: str, what: str) -> Verdict:
        differ, compared = (sum(row[name][i] for row in data["equal"]) for i in (0, 1))
        return exact(differ, compared, what)

    return {
        "product": equal("product", "outputs"),
        "transpose": all_of(
            equal("transpose", "inner products"), equal("gradients", "entries of gradients")
        ),
        "reassembles": equal("reassembled", "entries"),
        "undoes": equal("undoes", "entries"),
        "counts": equal("counts", "entries"),
        "optimized": _optimized(data["times"]),
        "didactic": _unbeaten(data["times"], ("lax",)),
        "didactic_best": _unbeaten(data["times"], LIBRARIES),
    }


def _mean_log_ratio(case: Mapping[str, Any], a: str, b: str) -> float:
    """Mean over the repetitions of log2 of the time of `a` over that of `b`."""
    ratios = [math.log2(times[a] / times[b]) for times in case["repeats"]]
    return math.fsum(ratios) / len(ratios)


def _optimized(times: Mapping[str, Any]) -> Verdict:
    """Each recipe beside its library, over the cases that have both."""
    verdicts = []
    for recipe, library in RECIPES.items():
        both = [c for c in times.values() if {recipe, library} <= set(c["repeats"][0])]
        if both:
            ratios = estimate([_mean_log_ratio(case, recipe, library) for case in both])
            what = f"log2 of the time of {recipe} over {library}, by case"
            verdicts.append(at_least(ratios, math.log2(MUCH), what))
    return all_of(*verdicts)


def _own(names: Sequence[str]) -> list[str]:
    """The algorithms written here."""
    return [name for name in names if name not in LIBRARIES]


def _speedups(case: Mapping[str, Any], libraries: Sequence[str]) -> tuple[str, list[float]]:
    """The fastest own algorithm, and by repetition the time of the fastest of the libraries over
    its time."""
    repeats = case["repeats"]
    best = min(_own(list(repeats[0])), key=repeats[0].__getitem__)
    fastest = lambda times: min(times[name] for name in libraries if name in times)
    return best, [fastest(times) / times[best] for times in repeats]


def _unbeaten(times: Mapping[str, Any], libraries: Sequence[str]) -> Verdict:
    """At the case, and with the algorithm, where the first repetition found the largest speed-up:
    that of the other repetitions, which had no part in the choice, as binary logarithms."""
    found = {name: _speedups(case, libraries) for name, case in times.items()}
    if not found:
        return Verdict(INCONCLUSIVE, "0 cases")
    case = max(found, key=lambda name: found[name][1][0])
    algorithm, speedups = found[case]
    beside = "the fastest library" if len(libraries) > 1 else libraries[0]
    logarithms = estimate([math.log2(ratio) for ratio in speedups[1:]])
    return at_most(logarithms, 0.0, f"{case}: log2 of the time of {beside} over {algorithm}")


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Exact comparisons; milliseconds of all routes."""
    equal = [
        [name, *(f"{sum(row[name][i] for row in data['equal']):,}" for i in (1, 0))]
        for name in data["equal"][0]
    ]
    times = data["times"]
    names = list(dict.fromkeys(n for c in times.values() for r in c["repeats"] for n in r))
    rows, speedups = [], []
    for name, case in times.items():
        found = {
            n: estimate([1e3 * r[n] for r in case["repeats"]])
            for n in names
            if n in case["repeats"][0]
        }
        shown = {n: f"{e.mean:.2f} ± {e.deviation:.2f}" for n, e in found.items()}
        rows.append([name, *(shown.get(n, "") for n in names)])
        best, beside_lax = _speedups(case, ("lax",))
        both = [estimate(ratios) for ratios in (beside_lax, _speedups(case, LIBRARIES)[1])]
        row = [name, best, *(f"{v:.2f}" for e in both for v in (e.mean, e.deviation)), both[0].n]
        speedups.append(row)
    n = both[0].n
    beside = ["lax / it", "deviation", "fastest library / it", "deviation", "n"]
    return [
        Table("Whole numbers", ["what", "compared", "differ"], equal),
        Table(f"Forward pass, ms (mean ± deviation of {n} medians)", ["case", *names], rows),
        Table("The fastest algorithm written here", ["case", "algorithm", *beside], speedups),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Every route's time over lax's, by case."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    times = data["times"]
    names = list(dict.fromkeys(n for c in times.values() for n in c["repeats"][0] if n != "lax"))
    figure = Figure(figsize=(10, 1.6 + 0.55 * len(times)), layout="constrained")
    axes = figure.subplots()
    markers = {"libraries": "s", "recipes": "X", "own": "o"}
    for i, name in enumerate(names):
        kind = "libraries" if name in LIBRARIES else "recipes" if name in RECIPES else "own"
        points = [
            (2 ** _mean_log_ratio(case, name, "lax"), y)
            for y, case in enumerate(times.values())
            if name in case["repeats"][0]
        ]
        colour = colormaps["tab20"](i)
        axes.plot(
            *zip(*points, strict=True), markers[kind], label=name, color=colour, markersize=7,
            markeredgecolor="black" if kind != "own" else colour,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", yticks=range(len(times)), yticklabels=list(times))
    axes.invert_yaxis()
    axes.grid(axis="y", alpha=0.3)
    axes.set(xlabel="time of a forward pass over lax's (left of 1: faster than the library)")
    legend = {"loc": "upper left", "bbox_to_anchor": (1, 1), "fontsize": 8}
    axes.legend(**legend, title="squares: libraries,\ncrosses: the recipe")
    return {"times": figure}


QUESTION = Question(
    name="from_scratch",
    title="Is a convolution from scratch right, and how slow is it?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="fold does not undo unfold: it adds where windows overlap, as a transpose does. It "
    "reassembles the output only as windows of one pixel. Times are of this machine; "
    "native_winograd counts as written here, as its transforms are.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
