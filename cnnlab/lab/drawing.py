"""What the figures of several questions have in common; matplotlib does the rest."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, LogFormatterSciNotation

from cnnlab.lab.estimates import Estimate, Number, estimate

NARROW = 4.2  # inches; of a phone's width it leaves text readable


def curve(
    axes: Axes,
    at: Mapping[Any, Sequence[Number]],
    style: str = "o-",
    *,
    spread: Literal["range", "deviation", "interval"] | None = None,
    **options: Any,
) -> Line2D:
    """The mean of the values at each place, as they are or with their `spread`: a band from the
    lowest to the highest, error bars of the standard deviation, or of the 95 % interval of the mean
    (none of a single value).

    **Arguments:** `style`, of the line and its marks, and further `options` of `Axes.plot`.
    **Returns:** the line, which has a colour.
    """
    places, found = list(at), [estimate(values) for values in at.values()]
    means = [e.mean for e in found]
    if spread in (None, "range"):
        [line] = axes.plot(places, means, style, **options)
        if spread:
            low, high = zip(*((min(v), max(v)) for v in at.values()), strict=True)
            axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2, lw=0)
    else:
        half = [e.deviation if spread == "deviation" else half_interval(e) for e in found]
        line = axes.errorbar(places, means, half, fmt=style, capsize=3, **options)[0]
    return line


def half_interval(e: Estimate) -> Number:
    """Half the length of an estimate's 95 % interval; 0 where it has none."""
    return e.high - e.mean if e.n > 1 else 0.0


def log_axes(
    axes: Axes, x: Sequence[Number] | None = None, y: Sequence[Number] | None = None
) -> None:
    """Logarithmic, each axis for which ticks are given: these, as they are, and no others."""
    for axis, ticks in ((axes.xaxis, x), (axes.yaxis, y)):
        if ticks is not None:
            axes.set(**{f"{axis.axis_name}scale": "log"})
            axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


class _Plain(LogFormatter):
    """The numbers of a logarithmic axis as they are."""

    def __call__(self, x: Number, pos: int | None = None) -> str:
        return f"{x:,g}" if super().__call__(x, pos) else ""


def finish(figure: Figure) -> None:
    """What all figures have in common once they are drawn: titles that fit a narrow one; and a
    logarithmic axis that spans less than four powers of ten has 0.2 and 3,000 at its ticks, where
    matplotlib has 2 x 10^-1 and 3 x 10^3."""
    if isinstance(figure, Narrow):
        for text in (*figure.texts, *(axes.title for axes in figure.axes)):
            text.set_fontsize(9)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = axis.get_view_interval()
        if isinstance(axis.get_major_formatter(), LogFormatterSciNotation) and (
            low > 1e-4 and high < min(1e6, 1e4 * low)
        ):
            axis.set_major_formatter(_Plain())
            axis.set_minor_formatter(_Plain(minor_thresholds=(1.5, 0.6)))


def picture(
    axes: Axes,
    values: Shaped[np.ndarray, "h w ..."] | Sequence[Sequence[Number]],
    *,
    title: str = "",
    texts: Sequence[Sequence[str]] | None = None,
    **options: Any,
) -> AxesImage:
    """An array as an image without ticks.

    **Arguments:** `texts`, to be written into each place, black or white, whichever is seen better;
    further `options` of `Axes.imshow`.
    """
    image = axes.imshow(values, **options)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    for (i, j), text in np.ndenumerate(np.array([] if texts is None else texts, ndmin=2)):
        light = image.cmap(image.norm(np.asarray(values)[i, j]))[:3] @ np.array([0.3, 0.6, 0.1])
        colour = "black" if light > 0.4 else "white"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    return image


class Narrow(Figure):
    """A figure for a phone: panels that would stand in one row stand below each other.

    `fits` is whether they do: a grid whose rows and columns say something stays as it is.
    """

    fits = True

    def subplots(self, nrows: int = 1, ncols: int = 1, **options: Any) -> Any:
        if nrows > 1 or not options.get("squeeze", True):
            self.fits = False
            return super().subplots(nrows, ncols, **options)
        found = self.column(ncols, **options)
        return np.array(found) if ncols > 1 else found[0]

    def column(self, number: int, columns: int | None = None, **options: Any) -> list[Axes]:
        """So many axes, which would stand in so many columns: in one of the readable width, or in
        several where each is small."""
        width, height = self.get_size_inches()
        panel = width / (columns or number)
        several = min(number, max(1, int(NARROW / (0.8 * panel))))
        rows, before = -(-number // several), -(-number // (columns or number))
        side = height / before * min(1, NARROW / several / panel)
        if several == 1:
            side = max(side, min(height, 2.8))  # room for a legend
        self.set_size_inches(NARROW, side * rows)
        return _first(super().subplots(rows, several, **(options | {"squeeze": False})), number)


def panels(figure: Figure, number: int, rows: int = 1, **options: Any) -> list[Axes]:
    """So many axes, in rows; further `options` of `Figure.subplots`."""
    columns = -(-number // rows)
    if isinstance(figure, Narrow):
        return figure.column(number, columns, **options)
    return _first(figure.subplots(rows, columns, squeeze=False, **options), number)


def _first(grid: Shaped[np.ndarray, "rows columns"], number: int) -> list[Axes]:
    """So many of the axes of a grid, without the others."""
    found = list(grid.flat)
    for unused in found[number:]:
        unused.remove()
    return found[:number]
