"""A 6.2: a convolution by unfold, a matrix product and fold, beside the libraries' own."""

import functools
import math
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Annotated, Any

import numpy as np
from experiments.from_scratch.recipes import RECIPES, compare, recipes
from matplotlib import colormaps
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.bench import contenders as routes
from cnnlab.bench import grid
from cnnlab.bench.measurements import timed
from cnnlab.config import ConfigError
from cnnlab.config.messages import nearest
from cnnlab.lab import Cells, Count, Positive, Records, Rows, Verdict

FASTER = "a case in which one of this laboratory's own algorithms is faster than"
# Convolutions that a library provides; `native` calls oneDNN's.
LIBRARIES = ("lax", "native", "torch", "torch channels-last")
CASES = (
    "3x3 3->32, 64x64, batch 1", "3x3 64->64, 32x32, batch 1", "3x3 256->256, 8x8, batch 1",
    "1x1 128->256, 16x16, batch 1", "depthwise 7x7 128, 16x16, batch 1",
    "depthwise 11x11 64, 16x16, batch 16",
)  # fmt: skip
ALL_CASES = (
    *CASES,
    "depthwise 3x3 64, 64x64, batch 1", "depthwise 31x31 32, 32x32, batch 16", "3x3 16->16, 64x64",
    "3x3 64->64, 32x32", "3x3 128->128, 16x16", "3x3 512->512, 8x8", "5x5 32->32, 32x32",
    "7x7 32->32, 16x16", "1x1 128->256, 16x16", "8 groups 3x3 128, 16x16",
    "depthwise 3x3 128, 16x16", "depthwise 7x7 128, 16x16",
)  # fmt: skip

LONG = ("depthwise 31x31 32, 32x32, batch 16",)

question = lab.Question(
    "from_scratch",
    "Is a convolution from scratch right, and how slow is it?",
    note="fold does not undo unfold: it adds where windows overlap, as a transpose does. It "
    "reassembles the output only as windows of one pixel. Times are of this machine and of these "
    "cases, their intervals of repeated runs; native_winograd counts as written here, as its "
    "transforms are. Kernels as long as the image are an exception that the chapter makes itself: "
    "they have no part in what is didactic.",
)


@question.check
def check(cases: Sequence[str]) -> None:
    """The cases are in the benchmark's grid."""
    for i, name in enumerate(cases):
        if name not in grid.GRID:
            a_case = f"a case of the grid, as {nearest(name, grid.GRID, cutoff=0.0)!r}"
            raise ConfigError(f"cases[{i}]: expected {a_case}, got {name!r}")


@question.measure(full={"geometries": 100, "repeats": 12, "seconds": 0.1, "cases": ALL_CASES})
def measure(
    cells: Cells,
    *,
    seed: int,
    geometries: Annotated[Count, "random convolutions of whole numbers, compared exactly"] = 24,
    peers: Annotated[Sequence[str], "any of torch", "further libraries, if installed"] = ("torch",),
    repeats: Annotated[int, "whole number >= 3", "interleaved runs, each with a ratio"] = 5,
    seconds: Annotated[Positive, "of the calls of each route in a run, at least 3 calls"] = 0.05,
    cases: Annotated[Sequence[str], "list of at least 1 texts", "of the benchmark's grid"] = CASES,
) -> dict[str, Any]:
    """Exact comparisons on random geometries; times of all routes to some convolutions."""
    missing = routes.torch_missing() if "torch" in peers else "not asked for"
    options = {"repeats": repeats, "seconds": seconds, "seed": seed}
    options |= {"peers": [] if missing else ["torch"]}
    more = functools.partial(recipes, torch=not missing)
    equal = lambda geometry: compare(np.random.default_rng([seed, geometry]), torch=not missing)
    time = lambda case: timed(grid.GRID[case], more=more, **options)
    return {
        "torch": missing or "installed",
        "equal": cells.records("equal", equal, geometry=range(geometries)),
        "times": cells.records("time", time, case=cases),
    }


def same(equal: Records, name: str, what: str) -> Verdict:
    rows = equal.where(what=name)
    return lab.exact(rows["differ"], rows["compared"], what)


@question.answer
def answer(times: Records) -> str:
    pair = next(iter(RECIPES.items()))
    found = times.where(lambda case: {*pair} <= {*case["seconds"]})
    slower = 2 ** lab.estimate([mean_log_ratio(case, *pair) for case in found]).mean
    best = max(2 ** log_speedup(case, ("lax",))[1].mean for case in times)
    return (
        f"It is right to the last bit on whole numbers. The chapter's recipe takes {slower:.1f} "
        f"times lax's time; the best algorithm here is up to {best:.0f} times as fast as lax."
    )


@question.claim("A 6.2", "an output of whole numbers that differs from lax's (or PyTorch's)")
def product(equal: Records) -> Verdict:
    """unfold turns local patches into columns, and a product with a weight matrix then implements
    the convolution."""
    return same(equal, "product", "outputs")


@question.claim(
    "A 6.2", "<unfold(x), p> that is not <x, fold(p)>, or an entry of a gradient that is not lax's"
)
def transpose(equal: Records) -> Verdict:
    """fold is the transpose of unfold, and so gives the gradients of the convolution."""
    entries = same(equal, "gradients", "entries of gradients")
    return lab.all_of(same(equal, "transpose", "inner products"), entries)


@question.claim("A 6.2", "an entry of the reassembled output that is not the convolution's")
def reassembles(equal: Records) -> Verdict:
    """fold can reassemble the output: with windows of one pixel."""
    return same(equal, "reassembled", "entries")


@question.claim("A 6.2", "an entry of fold(unfold(x)) that is not x's", instead="counts")
def undoes(equal: Records) -> Verdict:
    """fold can reassemble what unfold took apart (the pair as if one undid the other)."""
    return same(equal, "undoes", "entries")


@question.claim("A 6.2", "an entry that differs")
def counts(equal: Records) -> Verdict:
    """fold(unfold(x)) is x times the number of windows that read each pixel."""
    return same(equal, "counts", "entries")


def mean_log_ratio(case: dict[str, Any], a: str, b: str) -> float:
    """Mean over the repetitions of log2 of the time of `a` over that of `b`."""
    pairs = zip(case["seconds"][a], case["seconds"][b], strict=True)
    return lab.estimate([math.log2(s / t) for s, t in pairs]).mean


LESS = "less than twice as fast in the geometric mean over the cases"


@question.claim("A 6.2", LESS, instead="optimized_best")
def optimized(times: Records) -> Verdict:
    """Library-provided implementations are heavily optimized, read as: at least twice as fast as
    the chapter's recipe in the same library, in the geometric mean over these cases."""
    verdicts = []
    for pair in RECIPES.items():
        if both := times.where(lambda case, pair=pair: {*pair} <= {*case["seconds"]}):
            ratios = [[case["seconds"][name] for name in pair] for case in both]
            what = f"log2 of the time of {' over '.join(pair)}"
            verdicts.append(lab.at_least(over_cases(ratios), 1.0, what))  # at least twice as fast
    return lab.all_of(verdicts)


def over_cases(pairs: Iterable[Sequence[Sequence[float]]]) -> lab.Estimate:
    """Of two times by repetition for each case: the mean over the cases of the binary logarithm of
    their ratio, by repetition."""
    logarithms = [np.log2(np.divide(a, b)) for a, b in pairs]
    return lab.estimate(np.mean(logarithms, 0).tolist())


@question.claim("A 6.2, of the best", LESS)
def optimized_best(times: Records) -> Verdict:
    """The best library (of lax, oneDNN, and PyTorch where installed) is at least twice as fast as
    the chapter's recipe in the library where that is the faster one, in the geometric mean over
    these cases."""
    both = ([fastest(case, routes) for routes in (tuple(RECIPES), LIBRARIES)] for case in times)
    what = "log2 of the time of the recipe over the fastest library"
    return lab.at_least(over_cases(both), 1.0, what)


def fastest(case: dict[str, Any], routes: Sequence[str]) -> list[float]:
    """By repetition the time of the fastest of some routes, where they were timed."""
    seconds = case["seconds"]
    return list(map(min, zip(*(seconds[n] for n in routes if n in seconds), strict=True)))


def speedups(case: dict[str, Any], libraries: Sequence[str]) -> tuple[str, list[float]]:
    """The algorithm written here that the first repetition found to be the fastest; and by
    repetition the time of the fastest of the libraries over its time."""
    seconds = case["seconds"]
    best = min((n for n in seconds if n not in LIBRARIES), key=lambda name: seconds[name][0])
    return best, [a / b for a, b in zip(fastest(case, libraries), seconds[best], strict=True)]


def log_speedup(case: dict[str, Any], libraries: Sequence[str]) -> tuple[str, lab.Estimate]:
    """The same as a binary logarithm, by the repetitions that had no part in the choice."""
    best, ratios = speedups(case, libraries)
    return best, lab.estimate([math.log2(ratio) for ratio in ratios[1:]])


def unbeaten(times: Records, libraries: Sequence[str]) -> Verdict:
    """At the case, and with the algorithm, where the first repetition found the largest speed-up;
    of kernels that are not as long as the image."""
    first = lambda case: speedups(case, libraries)[1][0]
    case = max(times.where(lambda case: case["case"] not in LONG), key=first)
    algorithm, faster = log_speedup(case, libraries)
    beside = "the fastest library" if len(libraries) > 1 else libraries[0]
    what = f"{case['case']}: log2 of the time of {beside} over {algorithm}"
    return lab.at_most(faster, 0.0, what)


@question.claim("A 6.2", f"{FASTER} lax")
def didactic(times: Records) -> Verdict:
    """Custom implementations are therefore primarily didactic, but for long convolutions, read as:
    none is ever faster than lax."""
    return unbeaten(times, ("lax",))


@question.claim("A 6.2", f"{FASTER} all of them")
def didactic_best(times: Records) -> Verdict:
    """Custom implementations are primarily didactic, but for long convolutions, read as: none is
    ever faster than the fastest of the libraries (lax, oneDNN, PyTorch where installed)."""
    return unbeaten(times, LIBRARIES)


@question.table
def whole_numbers(equal: Records) -> Rows:
    """Whole numbers"""
    for what, rows in equal.by("what").items():
        counts = {name: f"{sum(rows[name]):,}" for name in ("compared", "differ")}
        yield {"what": what, **counts}


@question.table
def milliseconds(times: Records) -> lab.Table:
    """Of all routes."""
    names = dict.fromkeys(name for case in times for name in case["seconds"])
    ms = lambda seconds: f"{lab.estimate([1e3 * s for s in seconds]):.2f}" if seconds else ""
    row = lambda case: {name: ms(case["seconds"].get(name)) for name in names}
    title = f"Forward pass, ms (mean ± deviation of {len(times[0]['seconds']['lax'])} medians)"
    return lab.Table.of(title, ({"case": case["case"], **row(case)} for case in times))


@question.table
def fastest_here(times: Records) -> lab.Table:
    """Of the algorithms written here, beside lax and beside the fastest library."""
    header = ["case", "algorithm", "lax / it", "deviation"]
    header, rows = [*header, "fastest library / it", "deviation", "n"], []
    for case in times:
        best, ratios = speedups(case, ("lax",))
        both = [lab.estimate(found) for found in (ratios, speedups(case, LIBRARIES)[1])]
        shown = (f"{value:.2f}" for e in both for value in (e.mean, e.deviation))
        rows.append([case["case"], best, *shown, len(ratios)])
    return lab.Table("The fastest algorithm written here", header, rows)


@question.figure(10, 4.9, serves="didactic_best")
def times(figure: Figure, times: Records) -> None:
    """The time of each algorithm over that of the library's own convolution (lax), a row a case."""
    figure.set_figheight(2.8 + 0.55 * len(times))
    names = dict.fromkeys(n for case in times for n in case["seconds"] if n != "lax")
    axes = figure.subplots()
    for name, colour in zip(names, cycle(colormaps["tab20"].colors), strict=False):
        marker = "s" if name in LIBRARIES else "X" if name in RECIPES else "o"
        look = {"color": colour, "ms": 7, "mec": colour if marker == "o" else "black"}
        there = {y: case for y, case in enumerate(times) if name in case["seconds"]}
        ratios = [2 ** mean_log_ratio(case, name, "lax") for case in there.values()]
        axes.plot(ratios, list(there), marker, label=name, **look)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", yticks=range(len(times)), yticklabels=times["case"])
    axes.set(xlabel="time of a forward pass over lax's (left of 1: faster than the library)")
    axes.invert_yaxis()
    axes.grid(axis="y", alpha=0.3)
    title = "squares: libraries, crosses: the recipe"
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, title=title)


main = lab.command(question)
