"""Tables and the chart of what the networks took."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from matplotlib.figure import Figure

from cnnlab.bench.models.catalogue import NETWORKS
from cnnlab.bench.models.shares import KINDS
from cnnlab.files import write_figure

Cases = Mapping[str, Mapping[str, Any]]

TITLES = {"forward": "Forward pass", "step": "Training step"}
_JAX, _OURS, _TORCH = ("jax",), ("accelerated",), ("torch", "torch compiled")


def value(case: Mapping[str, Any], which: str, modes: Sequence[str], key: str) -> float | None:
    """The least that one of some modes has under a key; None where none has."""
    rows = case["passes"][which]
    found = [float(rows[mode][key]) for mode in modes if rows.get(mode, {}).get(key) is not None]
    return min(found, default=None)


def ratios(
    cases: Iterable[Mapping[str, Any]],
    which: str,
    over: Sequence[str],
    under: Sequence[str],
    key: str = "seconds",
) -> list[float]:
    """One mode's numbers over another's, of the cases that have both."""
    pairs = ((value(c, which, over, key), value(c, which, under, key)) for c in cases)
    return [a / b for a, b in pairs if a and b]


def markdown(machine: Mapping[str, Any], cases: Cases) -> str:
    """The whole report: a table of each pass, means, shares of the step's time, complaints."""
    cases = _in_order(cases)
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    parts = [
        f"{machine['device']}, {machine['processor']}, {machine['cores']} cores; {versions}.",
        f"Milliseconds, medians of {_calls(cases)} calls that took turns, each mode in a process "
        "of its own; float32, random weights. Faster: JAX's time over the accelerated one's. "
        "PyTorch: channels last, the better of eager and compiled where both were measured. "
        "Compile: seconds from Python to a program; memory: the most that the process held, MB.",
    ]
    for which, title in TITLES.items():
        table = _table(_HEADINGS, [_line(name, case, which) for name, case in cases.items()])
        parts += [f"## {title}", table, "\n".join(means(cases, which))]
    networks = _networks(cases).items()
    profiled = {n: c["shares"] for n, c in networks if "accelerated" in c.get("shares", {})}
    if profiled:
        headings = ("of an accelerated step's time", *KINDS)
        parts += ["## Where the time goes", _table(headings, list(_shares(profiled)))]
    if lines := complaints(cases):
        parts += ["## Not timed", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _in_order(cases: Cases) -> Cases:
    """That of the catalogue; of one network, the order in which they were measured."""
    places = list(NETWORKS)
    return dict(sorted(cases.items(), key=lambda item: places.index(item[0].split(" (")[0])))


def _networks(cases: Cases) -> Cases:
    """Without single reported layers."""
    return {name: case for name, case in cases.items() if "(reports)" not in name}


def _calls(cases: Cases) -> str:
    rows = (row for c in cases.values() for rows in c["passes"].values() for row in rows.values())
    counts = [row["calls"] for row in rows if "calls" in row]
    return f"{min(counts)} to {max(counts)}" if counts else "no"


_HEADINGS = (
    "network", "JAX", "accelerated", "faster", "PyTorch", "of PyTorch's time",
    "compile", "accelerated", "memory", "accelerated",
)  # fmt: skip


def _line(name: str, case: Mapping[str, Any], which: str) -> list[str]:
    get = lambda modes, key, scale: _text(value(case, which, modes, key), scale)
    ratio = lambda over, under: "".join(f"{r:.2f}" for r in ratios([case], which, over, under))
    cells = [
        *(get(modes, "seconds", 1e3) for modes in (_JAX, _OURS)),
        ratio(_JAX, _OURS),
        get(_TORCH, "seconds", 1e3),
        ratio(_OURS, _TORCH),
        *(get(modes, "compile", 1.0) for modes in (_JAX, _OURS)),
        *(get(modes, "peak", 1e-6) for modes in (_JAX, _OURS)),
    ]
    return [name, *(cell or "-" for cell in cells)]


def _text(number: float | None, scale: float) -> str:
    if number is None:
        return "-"
    return f"{scale * number:.3g}" if scale * number < 1000 else f"{scale * number:.0f}"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [headings, ["---", *["--:"] * (len(headings) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def means(cases: Cases, which: str) -> Iterator[str]:
    """Geometric means and the worst, of whole networks and of single reported layers."""
    networks = list(_networks(cases).values())
    reports = [c for name, c in cases.items() if name not in _networks(cases)]
    for group, some in (("networks", networks), ("open reports", reports)):
        if faster := ratios(some, which, _JAX, _OURS):
            mean, least = geometric_mean(faster), min(faster)
            yield f"- {group}, faster: {mean:.2f} times (n = {len(faster)}), least {least:.2f}"
    if slower := ratios(networks, which, _OURS, _TORCH):
        mean, most = geometric_mean(slower), max(slower)
        yield f"- of PyTorch's time: {mean:.2f} (n = {len(slower)}), most {most:.2f}"
    for key, what in (("compile", "compile time"), ("peak", "memory")):
        if found := ratios(networks, which, _OURS, _JAX, key):
            mean, most = geometric_mean(found), max(found)
            yield f"- {what}, accelerated over JAX: {mean:.2f}, most {most:.2f}"


def _shares(profiled: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, modes in profiled.items():
        yield [name, *(f"{modes['accelerated']['shares'][kind]:.0%}" for kind in KINDS)]


def complaints(cases: Cases) -> list[str]:
    """A line for each mode of a pass that failed or disagrees; they have no times."""
    lines = []
    for name, case in cases.items():
        for which, rows in case["passes"].items():
            for mode, row in rows.items():
                if "failed" in row:
                    lines.append(f"failed: {mode}, {name}, {which}: {row['failed']}")
                elif row.get("wrong"):
                    where = f"relative error {row['error']:.1e} ({row['worst']})"
                    lines.append(f"wrong: {mode}, {name}, {which}: {where}")
    return lines


def chart(cases: Cases, path: Path) -> None:
    """Bars: how many times as fast each network is with acceleration, by the geometric mean of its
    batches and sizes; a mark where PyTorch is."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for name, case in _in_order(cases).items():
        groups.setdefault(name.split(",")[0], []).append(case)
    timed = lambda some: any(ratios(some, which, _JAX, _OURS) for which in TITLES)
    groups = {name: some for name, some in groups.items() if timed(some)}
    figure = Figure(figsize=(7, 1.2 + 0.36 * len(groups)), layout="constrained")
    axes = figure.subplots()
    for offset, which, color in ((0.2, "forward", "#9ecae1"), (-0.2, "step", "#08519c")):
        faster = [_mean(ratios(some, which, _JAX, _OURS)) for some in groups.values()]
        peers = [_mean(ratios(some, which, _JAX, _TORCH)) for some in groups.values()]
        places = [offset - i for i in range(len(groups))]
        widths = [v - 1 for v in faster]  # from 1 on, which is no change
        axes.barh(places, widths, 0.38, left=1, color=color, label=TITLES[which].lower())
        for v, peer, place in zip(faster, peers, places, strict=True):
            if not isnan(v):  # beside the bar, or the mark where the two would overlap
                right = max(1, peer if v <= peer < 1.4 * v else v)
                beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
                text = f"{v:.1f}" if v > 1.1 else f"{v:.2f}"  # on which side of 1
                axes.annotate(text, (right, place), fontsize="x-small", **beside)
        label = "PyTorch" if which == "step" else None
        axes.plot(peers, places, "|", color="crimson", ms=9, mew=2, label=label)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.12)
    axes.set_yticks([-i for i in range(len(groups))], list(groups))
    axes.set_xlabel("times as fast as the same program without acceleration")
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    write_figure(path, figure)


def _mean(values: Sequence[float]) -> float:
    return geometric_mean(values) if values else float("nan")
