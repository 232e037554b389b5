"""Tables and figures of what the benchmark measured."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab.bench import grid
from cnnlab.bench.contenders import PORTABLE
from cnnlab.bench.measurements import Case, TimedRow
from cnnlab.files import write_figure
from cnnlab.ops import REFERENCE, REGISTRY, Problem

TimedRows = Mapping[str, TimedRow]  # of one case and pass, by contender
Cases = Mapping[str, Case]

HEADINGS = (
    "case", "auto", "no engine", REFERENCE, "eqx", "torch", "best", "best algorithm",
    f"auto/{REFERENCE}", "auto/torch", f"no engine/{REFERENCE}", "no engine/torch",
)  # fmt: skip
WORDS = {"forward": "forward", "gradients": "forward and both gradients"}
_PEERS = {"eqx": "Equinox", "torch": "PyTorch", "torch channels-last": "PyTorch, channels last"}
_TORCH = ("torch", "torch channels-last")


def fastest(rows: TimedRows, names: Sequence[str]) -> tuple[str, float] | None:
    """The fastest of some contenders that were timed, and its seconds."""
    timed = {name: rows[name]["seconds"] for name in names if "seconds" in rows.get(name, {})}
    return min(timed.items(), key=lambda item: item[1], default=None)


def table(cases: Cases, names: Sequence[str], which: str) -> str:
    """A Markdown table of one pass: milliseconds (medians) and ratios of times."""
    cells = [_cells(name, cases[name]["passes"][which]) for name in names]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    left = ("case", "best algorithm")

    def line(texts: Sequence[str]) -> str:
        parts = zip(HEADINGS, texts, widths, strict=True)
        return "| " + " | ".join(f"{t:{'<' if h in left else '>'}{w}}" for h, t, w in parts) + " |"

    rule = [
        "-" * w if h in left else "-" * (w - 1) + ":" for h, w in zip(HEADINGS, widths, strict=True)
    ]
    return "\n".join([line(HEADINGS), line(rule), *map(line, cells)])


def _cells(name: str, rows: TimedRows) -> list[str]:
    seconds = {key: fastest(rows, names) for key, names in _columns().items()}
    times = [_milliseconds(seconds[key]) for key in _columns()]
    best = seconds["best"]
    ratios = [_ratio(rows, a, b) for a in ("auto", "no engine") for b in (REFERENCE, "torch")]
    return [name, *times, best[0] if best else "-", *(f"{r:.3g}" if r else "-" for r in ratios)]


def _columns() -> dict[str, Sequence[str]]:
    return {
        "auto": ["auto"],
        "no engine": [PORTABLE],
        REFERENCE: [REFERENCE],
        "eqx": ["eqx"],
        "torch": _TORCH,
        "best": list(REGISTRY),
    }


def _milliseconds(timed: tuple[str, float] | None) -> str:
    return (
        "-"
        if timed is None
        else f"{1e3 * timed[1]:.3g}"
        if timed[1] < 1
        else f"{1e3 * timed[1]:.0f}"
    )


def _ratio(rows: TimedRows, ours: str, theirs: str) -> float | None:
    """Time of one column over that of another; None where one was not timed."""
    a, b = (fastest(rows, _columns()[key]) for key in (ours, theirs))
    return a[1] / b[1] if a and b else None


def means(cases: Cases, names: Sequence[str], which: str) -> str:
    """One line: geometric means of the ratios over the cases that have both."""
    parts = []
    pairs = [("auto", other) for other in ("no engine", REFERENCE, "eqx", "torch", "best")]
    for ours, theirs in (*pairs, ("no engine", REFERENCE), ("no engine", "torch")):
        found = [_ratio(cases[name]["passes"][which], ours, theirs) for name in names]
        ratios = [r for r in found if r]
        if ratios:
            parts.append(f"{ours}/{theirs} {geometric_mean(ratios):.3f} (n = {len(ratios)})")
    return f"geometric means, {WORDS[which]}: {', '.join(parts) or 'nothing was timed'}"


def complaints(cases: Cases, names: Sequence[str]) -> list[str]:
    """A line for each contender that disagrees with the reference or fails; they have no times."""
    lines = []
    for name in names:
        for which, rows in cases[name]["passes"].items():
            for contender, row in rows.items():
                if row.get("wrong"):
                    error = row["error"] if isinstance(row["error"], str) else f"{row['error']:.1e}"
                    lines.append(f"wrong: {contender}, {name}, {which}: relative error {error}")
                if "failed" in row:
                    lines.append(f"failed: {contender}, {name}, {which}: {row['failed']}")
    return lines


def markdown(machine: Mapping[str, Any], cases: Cases, names: Sequence[str]) -> str:
    """The whole report of some cases: a table and its means for each pass, then complaints."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    parts = [
        f"{machine['device']}, {machine['processor']}, {machine['cores']} cores; {versions}.",
        "Milliseconds, medians of interleaved calls, float32, batch 64 unless said; torch is the "
        "faster of contiguous and channels-last, best the fastest algorithm; no engine is auto "
        "where there is no native engine. Ratios are of times: below 1, the first is faster.",
    ]
    for which in WORDS:
        some = [name for name in names if which in cases[name]["passes"]]
        if some:
            heading = f"## {WORDS[which].capitalize()}"
            parts += [heading, table(cases, some, which), means(cases, some, which)]
    lines = complaints(cases, names)
    if lines:
        parts += ["## Not timed", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def crossover(direct: Mapping[int, float], fft: Mapping[int, float]) -> tuple[float, float] | None:
    """Where Fourier transforms become the faster: `(size, seconds)`, on straight lines between
    points in logarithms; the last such place, or None."""
    sizes = sorted(direct.keys() & fft.keys())
    lead = {k: math.log(direct[k] / fft[k]) for k in sizes}  # > 0: Fourier is faster
    for low, high in reversed(list(itertools.pairwise(sizes))):
        if lead[low] <= 0 < lead[high]:
            t = -lead[low] / (lead[high] - lead[low])
            between = lambda a, b, t=t: math.exp((1 - t) * math.log(a) + t * math.log(b))
            return between(low, high), between(direct[low], direct[high])
    return None


def figures(cases: Cases, which: str, folder: Path) -> list[Path]:
    """`kernel_size.png` and `channels.png`, of what was measured of the sweeps."""
    made = []
    kernels = {name: _rows(sweep, cases, which) for name, sweep in grid.KERNEL_SIZES.items()}
    kernels = {name: rows for name, rows in kernels.items() if rows}
    if kernels:
        figure = Figure(figsize=(5 * len(kernels) + 2, 4.4), layout="constrained")
        panels = figure.subplots(1, len(kernels), squeeze=False)[0]
        for axes, (name, rows) in zip(panels, kernels.items(), strict=True):
            _draw(axes, rows, f"kernel size k ({name} depthwise)", which)
            _mark(axes, rows)
        made.append(_save(figure, folder / "kernel_size.png"))
    channels = _rows(grid.CHANNELS, cases, which)
    if channels:
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        _draw(figure.subplots(), channels, "channels in and out (3x3 dense, 16x16)", which)
        made.append(_save(figure, folder / "channels.png"))
    return made


def _rows(sweep: Mapping[int, Problem], cases: Cases, which: str) -> dict[int, TimedRows]:
    found = {size: cases.get(grid.title(p), {}).get("passes", {}) for size, p in sweep.items()}
    return {size: passes[which] for size, passes in found.items() if which in passes}


def _draw(axes: Axes, rows: Mapping[int, TimedRows], label: str, which: str) -> None:
    """A line a contender; the colours are the same in all panels."""
    tab = matplotlib.color_sequences["tab10"]
    common: dict[str, Any] = {"lw": 1.2, "ms": 3, "marker": "o"}
    styles: dict[str, dict[str, Any]] = {"auto": {"color": "black", "lw": 2.5, "ms": 4}}
    styles[PORTABLE] = {"color": "black", "ls": ":"}
    styles |= {name: {"color": tab[i % len(tab)]} for i, name in enumerate(REGISTRY)}
    styles |= {
        name: {"color": str(0.2 + 0.2 * i), "ls": "--", "marker": "s^v"[i]}
        for i, name in enumerate(_PEERS)
    }
    for name, style in styles.items():
        points = {k: r[name]["seconds"] for k, r in rows.items() if "seconds" in r.get(name, {})}
        if points:
            ms = [1e3 * s for s in points.values()]
            axes.plot(list(points), ms, label=_PEERS.get(name, name), **(common | style))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(list(rows), list(map(str, rows)), rotation=45)
    axes.minorticks_off()
    axes.set_xlabel(label)
    axes.set_ylabel(f"milliseconds, {WORDS[which]}")
    axes.grid(alpha=0.3)


def _mark(axes: Axes, rows: Mapping[int, TimedRows]) -> None:
    """The place from which the faster of the Fourier algorithms beats the fastest direct one."""
    fourier = [name for name, algorithm in REGISTRY.items() if algorithm.fourier]
    others = [name for name in REGISTRY if name not in fourier]
    curves = [
        {k: best[1] for k, r in rows.items() if (best := fastest(r, names))}
        for names in (others, fourier)
    ]
    place = crossover(*curves)
    if place is None:
        return
    size, seconds = place
    axes.plot(size, 1e3 * seconds, "*", color="crimson", ms=14, zorder=5)
    axes.annotate(
        f"FFT is faster\nfrom k = {size:.0f}",
        (size, 1e3 * seconds),
        xytext=(0, 30),
        textcoords="offset points",
        ha="center",
        color="crimson",
        arrowprops={"arrowstyle": "-", "color": "crimson"},
        bbox={"boxstyle": "round", "fc": "white", "ec": "crimson", "alpha": 0.9},
    )


def _save(figure: Figure, path: Path) -> Path:
    lines = {}
    for axes in figure.axes:
        for line, name in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(name, line)
    figure.legend(lines.values(), lines.keys(), loc="outside right upper", fontsize="small")
    write_figure(path, figure)
    return path
