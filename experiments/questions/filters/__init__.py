"""A 3.5 and B 10.1.2: what hand-crafted kernels respond to, on photographs."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from experiments.filters import kernels
from experiments.filters.kernels import ANGLES, BINS, COLOURS, EDGE, KERNELS
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.lab import Cells, Count, Records, Rows, Verdict

PHOTOS = ("china.jpg", "flower.jpg")
Photos = Annotated[Sequence[str], "some of china.jpg, flower.jpg"]
Tile = Annotated[int, "whole number >= 4"]
Crop = Annotated[tuple[int, int], "list of 2 whole numbers >= 1"]
GREY, EDGES = ("ridge", "vertical", "horizontal"), ("vertical", "horizontal")
DERIVATIVES = ("horizontal", "vertical")
SIDES = {"left": 0, "top": 90, "right": 180, "bottom": 270}
RAMPS = ("downwards", "to the right")

question = lab.Question(
    "filters",
    "What do hand-crafted kernels respond to?",
    note="Chapter B calls the change across a vertical edge a vertical gradient: the edge is "
    "vertical, the gradient that the kernel measures is horizontal. A vertical edge that is bright "
    "on the right gives a large negative output. The red filter sees edges in the red channel: "
    "white on black as well as red on black. In chapter A's sum the offset t belongs to the "
    "summed index: X[i + t(i'), ...]. As i' + t(i) = i + t(i'), the printed sum is the same where "
    "t(i) is defined, which is only the first 2k + 1 rows and columns.",
)


@question.measure(full={"tile": 32, "images": 200})
def measure(
    cells: Cells,
    *,
    seed: int,
    photos: Annotated[Photos, "of scikit-learn"] = PHOTOS,
    tile: Annotated[Tile, "pixels; the derivatives are compared in tiles of the photographs"] = 64,
    crop: Annotated[Crop, "of each photograph, in the pictures"] = (110, 160),
    images: Annotated[Count, "random ones, at which A 3.5's sum is evaluated as printed"] = 20,
) -> dict[str, Any]:
    """Photographs, made-up images, and A 3.5's sum."""
    draw = lambda *key: np.random.default_rng([seed, *key])
    explained = lambda photo, kernel: list(kernels.explained(photo, kernel, tile))
    repainted = lambda photo: kernels.repainted(photo, draw(0, photos.index(photo)))
    sums = lambda image: kernels.all_sums(draw(1, image))
    return {
        "windows": cells.records("windows", kernels.windows, photo=photos, kernel=KERNELS),
        "explained": cells.records("explained", explained, photo=photos, kernel=(*EDGES, "red")),
        "repainted": cells.records("repainted", repainted, photo=photos),
        "reversed": cells.records("reversed", kernels.reversed_kernel, photo=photos, kernel=GREY),
        "edges": cells.records("output", kernels.at_edge, kernel=EDGES, angle=ANGLES),
        "lines": cells.records("line", kernels.at_line, angle=(0, 45, 90, 135)),
        "ramps": cells.records("output", kernels.on_ramp, kernel=EDGES, brighter=RAMPS),
        "colours": cells.records("colours", kernels.between_colours, left=COLOURS, right=COLOURS),
        "sums": cells.records("sums", sums, image=range(images)),
        "pictures": [{"photo": p, **shown} for p in photos for shown in kernels.picture(p, crop)],
    }


@question.answer
def answer(explained: Records, edges: Records) -> str:
    tiles = explained.where(kernel="red")
    across, down = (lab.estimate(tiles[of]).mean for of in ("horizontal", "vertical"))
    return (
        "The vertical-edge kernels to edges that are bright on the left, with the other sign on "
        f"the right. The red filter takes a horizontal difference ({across:.0%} of its output's "
        f"variance; the vertical one explains {down:.0%}), not the vertical gradient of the text."
    )


@question.claim(
    "B 10.1.2",
    "a window of one colour with an output other than 0, or an output beyond what the window's "
    "range (largest less smallest value) times the positive weights allows",
)
def flat(windows: Records) -> Verdict:
    """Over a region of flat colour the positive and negative terms cancel, and the output is close
    to zero."""
    what = "outputs of flat windows"
    return lab.all_of(
        lab.exact(windows["flat_nonzero"], windows["flat"], what, "are not 0"),
        lab.exact(windows["beyond"], windows["windows"], "outputs", "are beyond their bound"),
    )


@question.claim("B 10.1.2", "an output of less than half of the largest possible")
def bright_left(edges: Records) -> Verdict:
    """Centred on a vertical edge with the bright region on the left, the output is a large positive
    number."""
    return large(edges, "left")


@question.claim(
    "B 10.1.2",
    "a vertical edge, bright on one side, with an output of less than half of the largest",
    instead="bright_left",
)
def any_edge(edges: Records) -> Verdict:
    """Centred on a vertical edge, the output is a large positive number (without the example's
    bright side on the left)."""
    return lab.all_of(large(edges, "left"), large(edges, "right"))


def large(edges: Records, side: str) -> Verdict:
    [output] = edges.where(kernel="vertical", angle=SIDES[side])["output"]
    return lab.at_least(output, EDGE / 2, f"output, bright on the {side}")


@question.claim(
    "A 3.5",
    "a bright line of any of four directions whose pixels do not respond more strongly than all "
    "others, and than an edge of the same contrast",
)
def ridge(lines: Records) -> Verdict:
    """The 3x3 kernel with 8 in the middle and -1 around it detects ridges."""
    lead = min(row["on"] - row["off"] for row in lines)
    ratio = min(lines["on"]) / max(lines["edge"])
    return lab.all_of(
        lab.at_least(lead, 1e-6, "lead of a line's pixels, least"),
        lab.at_least(ratio, 1.0, "weakest line / strongest edge"),
    )


@question.claim(
    "B 10.1.2",
    "an output on a photograph that changes with green and blue, or one at an edge between two "
    "colours that is not 3 times the difference in red",
)
def red_channel(repainted: Records, colours: Records) -> Verdict:
    """The red filter ignores information from the green and blue channels."""
    red = lambda name: COLOURS[name][0]
    other = (row["output"] != EDGE * (red(row["left"]) - red(row["right"])) for row in colours)
    edges, repaint = "outputs at edges between two colours", "change by repainting green and blue"
    return lab.all_of(
        lab.exact(repainted["changed"], repainted["positions"], "outputs", repaint),
        lab.none_of(other, edges, "are not 3 times the difference in red"),
    )


@question.claim(
    "B 10.1.2",
    "an edge between two colours, neither of them red, with as large an output as red's",
    instead="red_channel",
)
def red_edges(colours: Records) -> Verdict:
    """The red filter responds specifically to vertical red edges."""
    others = colours.where(lambda row: "red" not in (row["left"], row["right"]))
    strong = sum(abs(output) >= EDGE for output in others["output"])
    what = f"of {len(others)} edges without red, those that respond as much"
    return lab.at_most(strong, 0, what)


def more_explained(explained: Records, by: str, than: str) -> Verdict:
    """Of the red filter's output: squared correlations with the derivatives, paired by tile."""
    tiles = explained.where(kernel="red")
    what = f"explained by the {by} less by the {than} derivative"
    return lab.at_least(lab.paired(tiles[by], tiles[than]), 0.0, what)


@question.claim(
    "B 10.1.2",
    "outputs on photographs that the vertical derivative explains less well than the horizontal "
    "one does (squared correlations, paired by tile)",
    instead="horizontal_gradient",
)
def vertical_gradient(explained: Records) -> Verdict:
    """The red filter produces a strong output where there is a sharp vertical gradient in the red
    channel."""
    return more_explained(explained, "vertical", than="horizontal")


@question.claim(
    "B 10.1.2",
    "outputs on photographs that the horizontal derivative explains less well than the vertical "
    "one does; or an output on a vertical ramp",
)
def horizontal_gradient(explained: Records, ramps: Records) -> Verdict:
    """The kernels for vertical edges compute a localized horizontal difference."""
    [output] = ramps.where(kernel="vertical", brighter="downwards")["output"]
    return lab.all_of(
        more_explained(explained, "horizontal", than="vertical"),
        lab.at_most(abs(output), 0.0, "output on a vertical ramp"),
    )


@question.claim(
    "A 3.5", "a position of an image at which t(i) or t(j) is not defined", instead="index"
)
def index_printed(sums: Records) -> Verdict:
    """H[i, j] is the sum over i', j' of W[i', j'] X[i' + t(i), j' + t(j)], with t defined on 1 to
    2k + 1."""
    what = f"of {sum(sums['positions']):,} positions, those without a printed sum"
    return lab.at_most(sum(sums["undefined"]), 0, what)


@question.claim(
    "A 3.5", "a position where the sum is not the layer's output, or not the printed one"
)
def index(sums: Records) -> Verdict:
    """H[i, j] is the sum over i', j' of W[i', j'] X[i + t(i'), j + t(j')]; the same as printed
    where that is defined."""
    printed = sum(sums["positions"]) - sum(sums["undefined"])
    return lab.all_of(
        lab.exact(sums["layer_differ"], sums["positions"], "sums", "are not the layer's output"),
        lab.exact(sums["defined_differ"], printed, "printed sums"),
    )


@question.claim(
    "A 3.5", "an output with the reversed kernel that is not that of SciPy's convolution"
)
def fir(reversed: Records) -> Verdict:
    """This corresponds (up to a sign convention) to a discrete convolution with a finite impulse
    response filter."""
    return lab.exact(reversed["differ"], reversed["compared"], "outputs")


@question.table
def flat_windows(windows: Records) -> Rows:
    """Windows of the photographs"""
    for row in windows:
        yield {
            "photograph": row["photo"], "kernel": row["kernel"], "windows": f"{row['windows']:,}",
            "flat": f"{row['flat']:,}", "of them not 0": row["flat_nonzero"],
            "beyond the bound": row["beyond"],
        }  # fmt: skip


@question.table
def variance(explained: Records) -> Rows:
    """Share of the output's variance explained, by tile"""
    for kernel, tiles in explained.by("kernel").items():
        for derivative in DERIVATIVES:
            found = lab.estimate(tiles[derivative]).columns(".3f")
            yield {"kernel": kernel, "derivative": derivative, **found}


@question.table
def edges_and_ramps(edges: Records, ramps: Records) -> Rows:
    """Output at an edge or on a ramp, contrast 1"""
    rows = {side: edges.where(angle=angle) for side, angle in SIDES.items()}
    rows |= {f"ramp, brighter {where}": ramps.where(brighter=where) for where in RAMPS}
    for side, found in rows.items():
        outputs = found.by("kernel", of="output").items()
        yield {"bright side": side, **{kernel: f"{z:g}" for kernel, [z] in outputs}}


@question.table
def ridges(lines: Records) -> Rows:
    """The ridge kernel at a line of width 1"""
    for row in lines:
        yield {
            "angle": row["angle"], "on the line": f"{row['on']:g}",
            "beside it, at most": f"{row['off']:g}", "at an edge, at most": f"{row['edge']:g}",
        }  # fmt: skip


@question.figure(12, 3.7)
def activation_maps(figure: Figure, pictures: Records) -> None:
    """The middle of each photograph, and beside it what each kernel makes of it: red where the
    output is positive, blue where it is negative."""
    photos = pictures.by("photo")
    figure.set_size_inches(12, 1.75 * len(photos) + 0.2)
    grid = figure.subplots(len(photos), 1 + len(KERNELS), squeeze=False)
    for row, parts in zip(grid, photos.values(), strict=True):
        for axes, part in zip(row, parts, strict=True):
            title = part["shows"] if axes in grid[0] else ""
            scale = {"cmap": "RdBu_r", "vmin": -300, "vmax": 300}  # a photograph in colour has none
            image = lab.picture(axes, kernels.unpack(part), title=title, **scale)
    figure.colorbar(image, ax=grid, label="output (grey levels)", shrink=0.8, extend="both")


@question.figure(12, 3.6)
def responses(figure: Figure, windows: Records, edges: Records, colours: Records) -> None:
    """What the kernels give: on photographs, against the range of values in the window; at an edge,
    against its direction; and the red filter's output, by the colour beside black."""
    by_range, by_angle, by_colour = figure.subplots(1, 3)
    for kernel, photos in windows.by("kernel").items():
        by_range.plot(*mean_outputs(photos), "o-", label=kernel, markersize=4)
    by_range.set_xscale("symlog", linthresh=1)
    by_range.set(xlabel="range of values in the window (grey levels)")
    by_range.set(ylabel="mean |output| (% of the largest)", title="photographs")
    by_range.legend()
    for kernel, found in edges.by("kernel").items():
        by_angle.plot(found["angle"], found["output"], "o-", label=kernel, markersize=4)
    by_angle.axhline(0, color="grey", linewidth=0.8)
    by_angle.set(xticks=list(SIDES.values()), xticklabels=list(SIDES))
    by_angle.set(xlabel="bright side of the edge", ylabel="output at contrast 1", title="edges")
    by_angle.legend()
    on_black = colours.where(right="black")
    names = on_black["left"]
    by_colour.bar(names, on_black["output"], color=names, edgecolor="black")
    by_colour.tick_params(axis="x", rotation=45)
    by_colour.set(xlabel="colour on the left of black", ylabel="output at contrast 1")
    by_colour.set(title="the red filter at an edge")


def mean_outputs(photos: Records) -> tuple[np.ndarray, np.ndarray]:
    """Range, and the mean magnitude of the output in percent, over all photographs."""
    counts, means = (np.array(photos[of], float) for of in ("counts", "means"))  # without: nan
    total, middles = counts.sum(0), [(a + b - 1) / 2 for a, b in itertools.pairwise(BINS)]
    some = total > 0
    return np.array(middles)[some], 100 * np.nansum(means * counts, 0)[some] / total[some]


main = lab.command(question)
