"""A 6.3: for which kernels a convolution by Fourier transforms is worth it."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.bench.measurements import timed
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Positive, Records, Verdict
from cnnlab.ops import Problem, describe

FAMILIES = ("1-D depthwise", "1-D dense", "2-D depthwise", "2-D dense")
SMALL = (3, 5)
# What "much more efficient" must mean at the least.
MUCH = 2.0
# Direct algorithms whose programs grow with every tap take XLA long to compile; where they are
# dense, each tap is a matrix product of its own, and other algorithms are ahead by then.
MOST_DENSE_TAPS = 64

# Of all routes to one convolution: by route, one number a repetition.
Seconds = dict[str, list[float]]
Sizes = Annotated[Sequence[int], "increasing list of whole numbers >= 1"]

question = lab.Question(
    "fft_crossover",
    "From which kernel size on do Fourier transforms win?",
    note="Where Fourier transforms begin to win depends on what they are compared with: on the "
    "best direct algorithm of this laboratory, or on lax alone, which is slow for depthwise "
    "kernels on a CPU. Times are of forward passes of this machine.",
)


@question.check
def check(kernels_1d: Sequence[int], kernels_2d: Sequence[int]) -> None:
    """The small kernels, and larger ones, are among the sizes."""
    for key, sizes in (("kernels_1d", kernels_1d), ("kernels_2d", kernels_2d)):
        if not set(SMALL) < set(sizes):
            raise ConfigError(f"{key}: expected 3, 5 and larger sizes, got {sizes}")


@question.measure(
    full={
        "sequence": 4096, "image": 64, "repeats": 10, "seconds": 0.1,
        "kernels_1d":
            [3, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 257, 513, 1025, 2049, 4095],
        "kernels_2d": [3, 5, 7, 9, 11, 13, 15, 19, 23, 31, 47, 63],
    }
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    sequence: Annotated[int, "whole number >= 8", "entries of the 1-D inputs"] = 1024,
    image: Annotated[int, "whole number >= 6", "rows and columns of the 2-D inputs"] = 32,
    batch: Count = 2,
    channels: Annotated[Count, "in and out"] = 16,
    kernels_1d: Sizes = (3, 5, 17, 33, 65, 129, 257, 1023),
    kernels_2d: Sizes = (3, 5, 7, 9, 11, 15, 31),
    repeats: Annotated[
        int, "whole number >= 2", "interleaved runs, each of which gives a crossover"
    ] = 5,
    seconds: Annotated[
        Positive, "of the calls of each algorithm in a run, at least 3 calls"
    ] = 0.02,
) -> dict[str, Any]:
    """Times of all algorithms, by family and kernel size."""

    def time(family: str, kernel: int) -> dict[str, Any]:
        rank, groups = int(family[0]), channels if family.endswith("depthwise") else 1
        spatial = (sequence,) if rank == 1 else (image, image)
        weights = (*(kernel,) * rank, channels // groups, channels)
        problem = describe((batch, *spatial, channels), weights, groups=groups)
        return timed(problem, leave_out=leave_out, repeats=repeats, seconds=seconds, seed=seed)

    ranks = ((FAMILIES[:2], kernels_1d), (FAMILIES[2:], kernels_2d))
    found = [cells.records("time", time, family=family, kernel=sizes) for family, sizes in ranks]
    return {"times": list(itertools.chain(*found))}


def leave_out(algorithm: str, problem: Problem) -> bool:
    return algorithm == "taps" and problem.groups == 1 and problem.taps > MOST_DENSE_TAPS


def routes(seconds: Seconds, *, fourier: bool) -> Seconds:
    """Those of the algorithms by Fourier transforms, or of all others."""
    return {route: of for route, of in seconds.items() if ("fft" in route) == fourier}


def best(seconds: Seconds, *, fourier: bool) -> np.ndarray:
    """Of each repetition, the seconds of the fastest of them."""
    return np.min(list(routes(seconds, fourier=fourier).values()), 0)


def compared(times: Records, than: str, **which: Any) -> Records:
    """At those of the points, the time by Fourier transforms over that of `than`, "direct" (the
    best of the others) or "lax": `ratio` of each repetition, and `log2`, an estimate of the binary
    logarithm, in which twice and half as fast are equally far from equal."""
    rows = Records()
    for point in times.where(**which):
        seconds = point["seconds"]
        other = seconds["lax"] if than == "lax" else best(seconds, fourier=False)
        ratio = best(seconds, fourier=True) / other
        found = {"ratio": ratio, "log2": lab.estimate(np.log2(ratio).tolist())}
        rows.append({"family": point["family"], "kernel": point["kernel"], **found})
    return rows


def costs(times: Records, than: str) -> Verdict:
    """Of 2-D families and small kernels: Fourier transforms are no faster."""
    what = "{family}, kernel {kernel}: log2 of Fourier / "
    return lab.all_of(
        lab.at_least(row["log2"], 0.0, what.format(**row) + than)
        for row in compared(times, than, family=FAMILIES[2:], kernel=SMALL)
    )


def gains(times: Records, than: str) -> Iterator[Verdict]:
    """By family, at its largest kernel: Fourier transforms are much faster."""
    for family, rows in compared(times, than).by("family").items():
        what = f"{family}, kernel {rows[-1]['kernel']}: log2 of Fourier / {than}"
        yield lab.at_most(rows[-1]["log2"], -math.log2(MUCH), what)


@question.answer
def answer(times: Records) -> str:
    found = {}
    for family, points in times.by("family").items():
        mean = interval(crossings(points, "direct"))
        found[family] = f"{mean[0]:.0f}" if mean else "no size measured"
    return (
        "Beside the best direct algorithm, from these kernel sizes on: "
        f"{', '.join(f'{family} {size}' for family, size in found.items())}."
    )


@question.claim(
    "A 6.3",
    "a dense or depthwise convolution with such a kernel that Fourier transforms make faster",
)
def small(times: Records) -> Verdict:
    """For the small kernels typical in CNNs (3x3, 5x5) FFT-based convolution is usually not worth
    the overhead: beside the best of the direct algorithms."""
    return costs(times, "direct")


@question.claim(
    "A 6.3",
    "a dense or depthwise convolution with such a kernel that Fourier transforms make faster",
)
def small_lax(times: Records) -> Verdict:
    """For the small kernels typical in CNNs (3x3, 5x5) FFT-based convolution is usually not worth
    the overhead: beside the library's own convolution (lax)."""
    return costs(times, "lax")


@question.claim(
    "A 6.3",
    "less than twice as fast in all of the families (1-D and 2-D, dense and depthwise)",
)
def large(times: Records) -> Verdict:
    """For very large kernels FFT-based approaches can be much more efficient: beside the best of
    the direct algorithms, at kernels about as long as the input, in one family at least."""
    return lab.any_of(gains(times, "direct"))


@question.claim("A 6.3", "a family in which they are less than twice as fast as lax")
def large_lax(times: Records) -> Verdict:
    """For very large kernels FFT-based approaches can be much more efficient: beside the library's
    own convolution (lax), and in every family."""
    return lab.all_of(gains(times, "lax"))


def crossing(sizes: Sequence[int], ratios: Sequence[float]) -> float | None:
    """The size from which on a ratio of times stays below 1: where the last crossing is, on the
    straight line through its two neighbours when both axes are logarithmic; the first size, if the
    ratio is below 1 at all of them; None, if it is not below 1 at the last."""
    x, y = np.log(sizes), np.log(ratios)
    slower = np.flatnonzero(y >= 0)
    if y[-1] >= 0 or not len(slower):
        return None if y[-1] >= 0 else float(sizes[0])
    there = [slower[-1] + 1, slower[-1]]
    return math.exp(np.interp(0, y[there], x[there]))


def crossings(points: Records, than: str) -> list[float | None]:
    """Of a family, by repetition: the kernel size from which on Fourier transforms win."""
    by_repetition = np.transpose(compared(points, than)["ratio"])
    return [crossing(points["kernel"], found) for found in by_repetition]


def interval(found: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Geometric mean of the crossings and its 95 % interval; None where some did not cross."""
    if None in found:
        return None
    e = lab.estimate([math.log(k) for k in found if k is not None])
    return math.exp(e.mean), math.exp(e.low), math.exp(e.high)


@question.table
def crossovers(times: Records) -> lab.Rows:
    """From which kernel size on Fourier transforms are faster"""
    for family, points in times.by("family").items():
        for than in ("direct", "lax"):
            found = crossings(points, than)
            mean = interval(found)
            size, low, high = [f"{k:.1f}" for k in mean] if mean else ["none", "", ""]
            yield {
                "family": family, "than": than, "kernel size": size, "low": low, "high": high,
                "crossed": len(found) - found.count(None), "n": len(found),
            }  # fmt: skip


@question.table
def by_size(times: Records) -> lab.Table:
    """Medians of the repetitions."""
    header = ["family", "kernel", "lax (ms)", "best direct", "(ms)", "best Fourier", "(ms)"]
    rows = []
    for point, e in zip(times, compared(times, "direct")["log2"], strict=True):
        ms = {route: 1e3 * median(of) for route, of in point["seconds"].items()}
        row = [point["family"], point["kernel"], f"{ms['lax']:.2f}"]
        for fourier in (False, True):
            fastest = min(routes(point["seconds"], fourier=fourier), key=ms.__getitem__)
            row += [fastest, f"{ms[fastest]:.2f}"]
        rows.append([*row, *(f"{2**v:.2f}" for v in (e.mean, e.low, e.high)), e.n])
    return lab.Table("Times", [*header, "Fourier / direct", "low", "high", "n"], rows)


@question.figure(10, 6.4)
def crossover(figure: Figure, times: Records) -> None:
    """Time of a forward pass against kernel size: of lax, of the best direct algorithm and of the
    best by Fourier transforms; grey: where the last two cross, with its 95 % interval."""
    series = {
        "lax": ("s:", lambda seconds: seconds["lax"]),
        "best direct": ("o-", functools.partial(best, fourier=False)),
        "best Fourier": ("D-", functools.partial(best, fourier=True)),
    }
    for axes, family in zip(lab.panels(figure, 4, 2), FAMILIES, strict=True):
        points = times.where(family=family)
        sizes = points["kernel"]
        for name, (style, of) in series.items():
            values = [1e3 * median(of(seconds)) for seconds in points["seconds"]]
            axes.plot(sizes, values, style, label=name, markersize=4)
        if (found := interval(crossings(points, "direct"))) is not None:
            axes.axvline(found[0], color="grey", linewidth=1)
            axes.axvspan(*found[1:], color="grey", alpha=0.25, label="crossover, 95 %")
        lab.log_axes(axes, x=sizes)
        axes.tick_params("x", rotation=45, labelsize=8)
        axes.set(title=family, yscale="log")
        axes.set(xlabel="kernel size (per axis)", ylabel="time of a forward pass (ms)")
        axes.legend(fontsize=8)


main = lab.command(question)

if __name__ == "__main__":
    main()
