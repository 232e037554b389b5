"""The figures of the question `receptive_field`."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def growth(data: Mapping[str, Any]) -> Figure:
    """Sizes of fields against depth, and widths of effective fields."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for s, rows in data["stacks"].items():
        depths = [depth for depth, *_ in rows]
        line = left.plot(depths, [1 + (int(s) - 1) * d for d in depths], lw=1)[0]
        label = f"{s}x{s}, stride 1"
        left.plot(depths, [size for _, size, _ in rows], "o", color=line.get_color(), label=label)
    pooled = data["pooled"]
    depths = range(1, len(pooled) + 1)
    line = left.plot(depths, [row["closed"] for row in pooled], lw=1)[0]
    left.plot(depths, [row["measured"] for row in pooled], "s", color=line.get_color(),
              label="3, pooling by 2 between")  # fmt: skip
    left.set(xlabel="convolutions", ylabel="size of the receptive field (pixels)", ylim=0)
    left.set_title("closed form (lines), gradients (marks)")
    left.legend()
    random = {int(depth): rows for depth, rows in data["random"].items()}
    curve = np.array(sorted(random))
    right.plot(curve, np.sqrt(curve * 8 / 12), "k:", lw=1, label="sqrt(L (s² - 1) / 12), s = 3")
    uniform = [math.sqrt(((1 + 2 * d) ** 2 - 1) / 12) for d in curve]
    right.plot(curve, uniform, "k--", lw=1, label="if all of the field counted alike, s = 3")
    _points(right, random, lambda row: row["width"], "o", "random weights, 3x3")
    trained = {int(depth): rows for depth, rows in data["trained"].items()}
    size = f"size {data['kernel']}"
    _points(right, trained, lambda row: row["before"]["width"], "s", f"{size}, untrained")
    _points(right, trained, lambda row: row["after"]["width"], "^", f"{size}, trained")
    right.set(xscale="log", yscale="log", xlabel="convolutions")
    right.set_ylabel("width of the effective field (pixels)")
    ticks = sorted({*random, *trained})
    right.set_xticks(ticks, map(str, ticks))
    right.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    right.minorticks_off()
    right.set_title("mean and standard deviation over seeds")
    right.legend(fontsize=8)
    return figure


def _points(axes: Any, rows: Mapping[int, Any], width: Any, marker: str, label: str) -> None:
    depths = sorted(rows)
    values = [[width(row) for row in rows[depth]] for depth in depths]
    spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
    axes.errorbar(depths, [np.mean(v) for v in values], spread, marker=marker, ms=5, capsize=2,
                  lw=1, label=label)  # fmt: skip


def effective_fields(data: Mapping[str, Any]) -> Figure:
    """Gradient magnitudes of a middle pixel: random stacks, the same scale; and before and after
    training; the frame is the receptive field."""
    panels = []
    largest = max(map(int, data["random"]))
    for depth, rows in data["random"].items():
        picture = np.sqrt(np.mean([np.square(row["picture"]) for row in rows], 0))
        pad = largest - int(depth)
        title = f"random, {depth} layer{'s' if int(depth) > 1 else ''}"
        panels.append((np.pad(picture, pad), title, 1 + 2 * int(depth)))
    for depth, row in data["picture"].items():
        size = 1 + (data["picture_kernel"] - 1) * int(depth)
        for when, title in (("before", "untrained"), ("after", "trained")):
            panels.append((np.array(row[when]["picture"]), f"{title}, {depth} layers", size))
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    columns = -(-len(panels) // 2)
    grid = figure.subplots(2, columns).ravel()
    for axes, (picture, title, size) in zip(grid, panels, strict=False):
        picture = picture if picture.ndim == 2 else picture[None]
        image = axes.imshow(picture / picture.max(), cmap="magma", vmin=0, vmax=1)
        rows, cells = (n // 2 for n in picture.shape)
        corner = (cells - size / 2, rows - size / 2)
        axes.add_patch(Rectangle(corner, size, size, fill=False, ec="deepskyblue", lw=1))
        axes.set_title(title, fontsize=9)
    for axes in grid:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(bool(axes.images))
    figure.colorbar(image, ax=list(grid), label="gradient magnitude, relative", shrink=0.7)
    return figure
