"""A 6.3: for which kernels a convolution by Fourier transforms is worth it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Estimate, Verdict, all_of, at_least, at_most, estimate
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells
    from cnnlab.ops import Problem

FAMILIES = ("1-D depthwise", "1-D dense", "2-D depthwise", "2-D dense")
SMALL = (3, 5)
# What "much more efficient" must mean at the least.
MUCH = 2.0
# Direct algorithms whose programs grow with every tap take XLA long to compile; where they are
# dense, each tap is a matrix product of its own, and other algorithms are ahead by then.
MOST_DENSE_TAPS = 64

CLAIMS = (
    Claim(
        "small",
        "A 6.3",
        "For the small kernels typical in CNNs (3x3, 5x5) FFT-based convolution is usually not "
        "worth the overhead: beside the best of the direct algorithms.",
        "a dense or depthwise convolution with such a kernel that Fourier transforms make faster",
    ),
    Claim(
        "small_lax",
        "A 6.3",
        "The same beside the library's own convolution (lax).",
        "a dense or depthwise convolution with such a kernel that Fourier transforms make faster",
    ),
    Claim(
        "large",
        "A 6.3",
        "For very large kernels FFT-based approaches can be much more efficient: beside the best "
        "of the direct algorithms, at kernels about as long as the input.",
        "less than twice as fast in all of the families (1-D and 2-D, dense and depthwise)",
    ),
    Claim(
        "large_lax",
        "A 6.3",
        "The same beside the library's own convolution (lax), and in every family.",
        "a family in which they are less than twice as fast as lax",
    ),
)


def check(cfg: "DictConfig") -> None:
    """The small kernels, and larger ones, are among the sizes."""
    from cnnlab.config import ConfigError

    for key in ("kernels_1d", "kernels_2d"):
        sizes = list(cfg[key])
        if not set(SMALL) < set(sizes):
            raise ConfigError(f"{key}: expected 3, 5 and larger sizes, got {sizes}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Times of all algorithms, by family and kernel size."""
    from cnnlab.bench.measurements import timed

    def leave_out(name: str, problem: "Problem") -> bool:
        return name == "taps" and problem.groups == 1 and problem.taps > MOST_DENSE_TAPS

    options = {"repeats": cfg.repeats, "seconds": cfg.seconds, "seed": cfg.seed}
    problems = {
        f"{family}, kernel {k}": (family, k, _problem(cfg, family, k))
        for family in FAMILIES
        for k in (cfg.kernels_1d if family.startswith("1-D") else cfg.kernels_2d)
    }
    values = cells.all(
        {
            key: lambda problem=problem: timed(problem, leave_out=leave_out, **options)
            for key, (*_, problem) in problems.items()
        }
    )
    return {
        family: [
            {"kernel": k, **values[key]} for key, (name, k, _) in problems.items() if name == family
        ]
        for family in FAMILIES
    }


def _problem(cfg: "DictConfig", family: str, kernel: int) -> "Problem":
    from cnnlab.ops import describe

    rank = int(family[0])
    spatial = (cfg.sequence,) if rank == 1 else (cfg.image, cfg.image)
    groups = cfg.channels if family.endswith("depthwise") else 1
    return describe(
        (cfg.batch, *spatial, cfg.channels),
        (*(kernel,) * rank, cfg.channels // groups, cfg.channels),
        groups=groups,
    )


def _best(times: Mapping[str, float], *, fourier: bool) -> float:
    """Seconds of the fastest of the Fourier algorithms, or of all others."""
    return min(t for name, t in times.items() if name.startswith("fft") == fourier)


def _ratios(point: Mapping[str, Any], than: str) -> list[float]:
    """By repetition: the time by Fourier transforms over that of `than`, "direct" or "lax"."""
    return [
        _best(times, fourier=True)
        / (times["lax"] if than == "lax" else _best(times, fourier=False))
        for times in point["repeats"]
    ]


def _log_ratio(point: Mapping[str, Any], than: str) -> Estimate:
    """Of the binary logarithms, in which twice and half as fast are equally far from equal."""
    return estimate([math.log2(ratio) for ratio in _ratios(point, than)])


def _gains(data: Mapping[str, Any], than: str) -> Iterator[Verdict]:
    """By family, at its largest kernel: how many times faster Fourier transforms are."""
    for family in FAMILIES:
        point = data[family][-1]
        what = f"{family}, kernel {point['kernel']}: log2 of Fourier / {than}"
        yield at_most(_log_ratio(point, than), -math.log2(MUCH), what)


def _costs(data: Mapping[str, Any], than: str) -> Iterator[Verdict]:
    """By 2-D family and small kernel: how many times slower Fourier transforms are."""
    for family in FAMILIES[2:]:
        for point in data[family]:
            if point["kernel"] in SMALL:
                what = f"{family}, kernel {point['kernel']}: log2 of Fourier / {than}"
                yield at_least(_log_ratio(point, than), 0.0, what)


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Ratios within repetitions: 3x3 and 5x5, and the largest kernels."""
    gains = list(_gains(data, "direct"))
    # "can be": one family is enough, and the claim fails only if it does in all of them.
    telling = [v for wanted in ("holds", "inconclusive") for v in gains if v.verdict == wanted]
    return {
        "small": all_of(*_costs(data, "direct")),
        "small_lax": all_of(*_costs(data, "lax")),
        "large": telling[0] if telling else all_of(*gains),
        "large_lax": all_of(*_gains(data, "lax")),
    }


def crossings(data: Mapping[str, Any], family: str, than: str) -> list[float | None]:
    """By repetition, the kernel size from which on Fourier transforms win, if they do."""
    from cnnlab.bench.crossover import crossover

    points = data[family]
    sizes = [point["kernel"] for point in points]
    by_point = [_ratios(point, than) for point in points]
    return [crossover(sizes, ratios) for ratios in zip(*by_point, strict=True)]


def _interval(found: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Geometric mean of the crossings and its 95 % interval; None where some did not cross."""
    if None in found:
        return None
    e = estimate([math.log(k) for k in found if k is not None])
    return math.exp(e.mean), math.exp(e.low), math.exp(e.high)


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Crossovers; times by kernel size."""
    rows = []
    for family in FAMILIES:
        for than in ("direct", "lax"):
            found = crossings(data, family, than)
            interval = _interval(found)
            shown = ["none", "", ""] if interval is None else [f"{k:.1f}" for k in interval]
            rows.append([family, than, *shown, sum(k is not None for k in found), len(found)])
    times = []
    for family in FAMILIES:
        for point in data[family]:
            repeats = point["repeats"]
            middle = {n: median(r[n] for r in repeats) for n in repeats[0]}
            direct = min((n for n in middle if not n.startswith("fft")), key=middle.__getitem__)
            fourier = min((n for n in middle if n.startswith("fft")), key=middle.__getitem__)
            e = _log_ratio(point, "direct")
            shown = [f"{1e3 * middle[n]:.2f}" for n in ("lax", direct, fourier)]
            row = [family, point["kernel"], shown[0], direct, shown[1], fourier, shown[2]]
            times.append([*row, *(f"{2**v:.2f}" for v in (e.mean, e.low, e.high)), e.n])
    crossing = ["family", "than", "kernel size", "low", "high", "crossed", "n"]
    header = ["family", "kernel", "lax (ms)", "best direct", "(ms)", "best Fourier", "(ms)"]
    return [
        Table("From which kernel size on Fourier transforms are faster", crossing, rows),
        Table("Times", [*header, "Fourier / direct", "low", "high", "n"], times),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Time against kernel size, and the crossover with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    for axes, family in zip(figure.subplots(2, 2).flat, FAMILIES, strict=True):
        points = data[family]
        sizes = [point["kernel"] for point in points]
        series = {
            "lax": lambda times: times["lax"],
            "best direct": lambda times: _best(times, fourier=False),
            "best Fourier": lambda times: _best(times, fourier=True),
        }
        for (name, pick), style in zip(series.items(), ("s:", "o-", "D-"), strict=True):
            values = [1e3 * median(pick(times) for times in p["repeats"]) for p in points]
            axes.plot(sizes, values, style, label=name, markersize=4)
        interval = _interval(crossings(data, family, "direct"))
        if interval is not None:
            axes.axvline(interval[0], color="grey", linewidth=1)
            axes.axvspan(*interval[1:], color="grey", alpha=0.25, label="crossover, 95 %")
        axes.set(xscale="log", yscale="log", title=family)
        axes.set_xticks(sizes, [str(k) for k in sizes], rotation=45, fontsize=8)
        axes.minorticks_off()
        axes.set(xlabel="kernel size (per axis)", ylabel="time of a forward pass (ms)")
        axes.legend(fontsize=8)
    return {"crossover": figure}


QUESTION = Question(
    name="fft_crossover",
    title="From which kernel size on do Fourier transforms win?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="Where Fourier transforms begin to win depends on what they are compared with: on the "
    "best direct algorithm of this laboratory, or on lax alone, which is slow for depthwise "
    "kernels on a CPU. Times are of forward passes of this machine.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
