"""The figures of the question `activation_maps`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def filter_maps(data: Mapping[str, Any]) -> Figure:
    """A column a filter of the first layer: the filter, and below its map for each image."""
    filters, maps = np.array(data["first"]["filters"]), np.array(data["first"]["maps"])
    images = np.array(data["images"])
    rows, columns = 1 + len(images), 1 + len(filters)
    figure = Figure(figsize=(10, 0.55 + 9.4 * rows / columns), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for j, weight in enumerate(filters, 1):
        limit = np.abs(weight).max()
        # Of several input channels, their mean.
        _show(grid[0, j], weight.mean(-1), "RdBu_r", -limit, limit)
        grid[0, j].set_title(f"filter {j - 1}", fontsize=8)
        limit = np.abs(maps[..., j - 1]).max()
        for i in range(len(images)):
            _show(grid[i + 1, j], maps[i, ..., j - 1], "RdBu_r", -limit, limit)
    for i, image in enumerate(images):
        _image(grid[i + 1, 0], image, data["white"])
        grid[i + 1, 0].set_ylabel(data["labels"][i], fontsize=8)
    grid[0, 0].set_axis_off()
    _bare(grid)
    figure.suptitle("First layer: filters and their maps (red above zero, blue below)", fontsize=10)
    return figure


def stage_maps(data: Mapping[str, Any]) -> Figure:
    """A row an image: the image, and of every stage the channels that vary most."""
    images, stages = np.array(data["images"]), data["stages"]
    widths = [len(stage["channels"]) for stage in stages]
    rows, columns = len(images), 1 + sum(widths)
    figure = Figure(figsize=(11, 0.7 + 10 * rows / columns), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for i, image in enumerate(images):
        _image(grid[i, 0], image, data["white"])
        grid[i, 0].set_ylabel(data["labels"][i], fontsize=8)
    first = 1
    for stage, width in zip(stages, widths, strict=True):
        maps = np.array(stage["maps"])
        for j in range(width):
            limits = maps[..., j].min(), maps[..., j].max()
            for i in range(rows):
                _show(grid[i, first + j], maps[i, ..., j], "magma", *limits)
            grid[0, first + j].set_title(f"{stage['channels'][j]}", fontsize=7)
        shape = " x ".join(map(str, stage["shape"][:-1]))
        title = f"{stage['name']}: {shape}\n "
        grid[0, first].set_title(title, fontsize=8, loc="left")
        first += width
    _bare(grid)
    figure.suptitle(f"Stages and channels: {data['about']}", fontsize=10)
    return figure


def _show(axes: Any, values: np.ndarray, cmap: str, low: float, high: float) -> None:
    """A map: an image, or a curve over a sequence; of a volume its middle slice."""
    if values.ndim == 1:
        axes.plot(values, lw=0.8, color="C0")
        axes.axhline(0, color="grey", lw=0.4)
        room = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
    else:
        values = values if values.ndim == 2 else values[len(values) // 2]
        axes.imshow(values, cmap=cmap, vmin=low, vmax=high)


def _image(axes: Any, image: np.ndarray, white: float) -> None:
    """An input: in colour where it has three channels."""
    if image.ndim == 3 and image.shape[-1] == 3:
        axes.imshow(image / white)
    else:
        _show(axes, image[..., 0], "gray", image.min(), image.max())


def _bare(grid: np.ndarray) -> None:
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
