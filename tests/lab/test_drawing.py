"""What is drawn, read back from matplotlib's own objects."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from cnnlab.lab import curve, estimate, log_axes, panels, picture
from cnnlab.lab.drawing import Narrow, finish

AT = {1: [1.0, 3.0, 5.0], 10: [2.0, 2.0, 8.0]}


@pytest.fixture
def axes():
    return Figure().subplots()


def test_a_curve_is_of_means(axes):
    line = curve(axes, AT, "s:", label="ours")
    assert axes.lines[:] == [line]
    np.testing.assert_array_equal(line.get_xydata(), [[1, 3], [10, 4]])
    assert (line.get_marker(), line.get_linestyle(), line.get_label()) == ("s", ":", "ours")
    assert not axes.collections


def test_a_band_from_the_lowest_to_the_highest(axes):
    curve(axes, AT, spread="range", color="C3")
    [band] = axes.collections
    assert {tuple(p) for p in band.get_paths()[0].vertices} == {(1, 1), (1, 5), (10, 2), (10, 8)}
    assert tuple(band.get_facecolor()[0][:3]) == to_rgba("C3")[:3]


@pytest.mark.parametrize("spread", ["deviation", "interval"])
def test_error_bars(axes, spread):
    curve(axes, AT, spread=spread)
    [bars] = axes.collections
    for segment, values in zip(bars.get_segments(), AT.values(), strict=True):
        e = estimate(values)
        ends = (
            (e.low, e.high)
            if spread == "interval"
            else (e.mean - e.deviation, e.mean + e.deviation)
        )
        np.testing.assert_allclose(segment[:, 1], ends)


def test_a_single_value_has_no_interval(axes):
    curve(axes, {1: [2.0]}, spread="interval")
    np.testing.assert_array_equal(axes.collections[0].get_segments()[0][:, 1], [2, 2])


def test_logarithmic_axes_have_the_ticks_that_are_given(axes):
    axes.plot([1, 300], [1, 2])
    log_axes(axes, x=[1, 30, 300])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "30", "300"]
    assert not list(axes.get_xticks(minor=True))


def test_texts_are_seen_on_their_places(axes):
    picture(axes, [[0, 1]], texts=[["a", "b"]], cmap="gray", vmin=0, vmax=1, title="two")
    found = {(*t.get_position(), t.get_text()): t.get_color() for t in axes.texts}
    assert found == {(0, 0, "a"): "white", (1, 0, "b"): "black"}
    assert axes.get_title() == "two" and not list(axes.get_xticks())


def test_panels_that_are_not_needed_are_gone():
    figure = Figure()
    found = panels(figure, 5, 2)
    assert figure.axes == found and len(found) == 5


@pytest.mark.parametrize(
    ("width", "make", "rows", "columns"),
    [
        (10, lambda f: f.subplots(1, 2, sharey=True), 2, 1),
        (10, lambda f: panels(f, 4, 2), 4, 1),
        (10, lambda f: panels(f, 13, 3), 7, 2),  # small pictures
        (6, lambda f: [f.subplots()], 1, 1),
        (9, lambda f: f.subplots(1, 3), 3, 1),
    ],
)
def test_a_narrow_figure_stacks_its_panels(width, make, rows, columns):
    figure = Narrow(figsize=(width, 4))
    axes = make(figure)
    assert [a.get_subplotspec().rowspan.start for a in axes] == [
        i // columns for i in range(len(axes))
    ]
    assert axes[0].get_gridspec().get_geometry() == (rows, columns) and figure.axes == [*axes]
    assert figure.get_size_inches()[0] == 4.2 and figure.fits


def test_a_grid_stays_a_grid():
    figure = Narrow(figsize=(10, 4))
    assert figure.subplots(2, 5).shape == (2, 5) and not figure.fits
    assert figure.subplots(1, 2, squeeze=False).shape == (1, 2)


@pytest.mark.parametrize(
    ("values", "ticks"), [([0.02, 0.5], ["0.1"]), ([800, 20000], ["1,000", "10,000"])]
)
def test_a_logarithmic_axis_has_plain_numbers(axes, values, ticks):
    axes.plot([1, 2], values)
    axes.set_yscale("log")
    finish(axes.figure)
    low, high = axes.get_ylim()
    shown = {t.get_text() for t in axes.get_yticklabels() if low <= t.get_position()[1] <= high}
    assert shown == set(ticks)


def test_many_powers_of_ten_stay_powers(axes):
    axes.plot([1, 2], [1e-9, 1])
    axes.set(yscale="log", title="all")
    finish(axes.figure)
    assert "10^{" in axes.get_yticklabels()[1].get_text() and axes.title.get_fontsize() == 12
    narrow = Narrow(figsize=(4, 4))
    narrow.subplots().set_title("all")
    finish(narrow)
    assert narrow.axes[0].title.get_fontsize() == 9
