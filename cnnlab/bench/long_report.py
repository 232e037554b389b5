"""What was measured of long causal convolutions, as tables and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from matplotlib.figure import Figure

from cnnlab.bench.long import JAX, TORCH, names
from cnnlab.bench.report import WORDS
from cnnlab.files import write_figure

Cases = Mapping[str, Mapping[str, Any]]


def table(cases: Cases, which: str) -> str:
    """A Markdown table of one pass: milliseconds, and of `auto` the ratios of times."""
    routes = [*names(), JAX, TORCH]
    peers = [JAX, TORCH]
    lines = [["case", *routes, *(f"auto/{peer}" for peer in peers)]]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    ratios: dict[str, list[float]] = {peer: [] for peer in peers}
    for name, case in cases.items():
        rows = case["passes"][which]
        seconds = {n: rows[n]["seconds"] for n in routes if "seconds" in rows.get(n, {})}
        cells = [f"{1e3 * seconds[n]:.3g}" if n in seconds else "-" for n in routes]
        for peer in peers:
            both = "auto" in seconds and peer in seconds
            if both:
                ratios[peer].append(seconds["auto"] / seconds[peer])
            cells.append(f"{ratios[peer][-1]:.2f}" if both else "-")
        lines.append([name, *cells])
    means = (f"{geometric_mean(r):.2f}, worst {max(r):.2f}" if r else "-" for r in ratios.values())
    lines.append(["geometric mean", *["" for _ in routes], *means])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(machine: Mapping[str, Any], cases: Cases, passes: Sequence[str]) -> str:
    """The tables of all passes."""
    head = f"{machine['cores']} cores, {machine['processor']}; medians in milliseconds"
    parts = [f"## {WORDS[which].capitalize()}\n\n{table(cases, which)}" for which in passes]
    return "\n\n".join(["# Long causal depthwise convolutions", head, *parts]) + "\n"


def figure(cases: Cases, passes: Sequence[str], path: Path) -> Path:
    """Time an entry against length, a panel a pass and a share of the kernel."""
    points: dict[int, dict[int, Any]] = {}  # of each share, by length
    sizes: dict[int, int] = {}
    for name, case in cases.items():
        b, c, n = map(int, name.split(",")[0].split("x"))
        share = n // int(name.split()[-1])
        points.setdefault(share, {})[n] = case["passes"]
        sizes[n] = b * c * n
    drawn = Figure(figsize=(5 * len(passes), 4 * len(points)), layout="constrained")
    panels = drawn.subplots(len(points), len(passes), squeeze=False)
    for axes_of_share, (share, of_length) in zip(panels, points.items(), strict=True):
        for axes, which in zip(axes_of_share, passes, strict=True):
            for route in [*names(), JAX, TORCH]:
                each: dict[int, float] = {}
                for n, found in of_length.items():
                    row = found[which].get(route, {})
                    if "seconds" in row:
                        each[n] = 1e9 * row["seconds"] / sizes[n]
                axes.plot(list(each), list(each.values()), marker="o", label=route)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_title(f"{WORDS[which]}, kernel n{f' / {share}' * (share > 1)}")
            axes.set_xlabel("length n")
            axes.set_ylabel("nanoseconds an entry")
            axes.grid(alpha=0.3)
    lines = panels[0, 0].get_legend_handles_labels()
    drawn.legend(*lines, loc="outside lower center", ncols=len(lines[1]))
    write_figure(path, drawn)
    return path
