"""A 3.5 and B 10.1.2: what hand-crafted kernels respond to, on photographs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, estimate, exact, paired
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Of the 3x3 edge kernels, at contrast 1: the sum of the positive weights.
LARGEST = 3.0

CLAIMS = (
    Claim(
        "flat",
        "B 10.1.2",
        "Over a region of flat colour the positive and negative terms cancel, and the output is "
        "close to zero.",
        "a window of one colour with an output other than 0, or an output beyond what the window's "
        "range (largest less smallest value) times the positive weights allows",
    ),
    Claim(
        "bright_left",
        "B 10.1.2",
        "Centred on a vertical edge with the bright region on the left, the output is a large "
        "positive number.",
        "an output of less than half of the largest possible",
    ),
    Claim(
        "any_edge",
        "B 10.1.2",
        "Centred on a vertical edge, the output is a large positive number (without the example's "
        "bright side on the left).",
        "a vertical edge, bright on one side, with an output of less than half of the largest",
    ),
    Claim(
        "ridge",
        "A 3.5",
        "The 3x3 kernel with 8 in the middle and -1 around it detects ridges.",
        "a bright line of any of four directions whose pixels do not respond more strongly than "
        "all others, and than an edge of the same contrast",
    ),
    Claim(
        "red_channel",
        "B 10.1.2",
        "The red filter ignores information from the green and blue channels.",
        "an output on a photograph that changes with green and blue, or one at an edge between two "
        "colours that is not 3 times the difference in red",
    ),
    Claim(
        "red_edges",
        "B 10.1.2",
        "The red filter responds specifically to vertical red edges.",
        "an edge between two colours, neither of them red, with as large an output as red's",
    ),
    Claim(
        "vertical_gradient",
        "B 10.1.2",
        "The red filter produces a strong output where there is a sharp vertical gradient in the "
        "red channel.",
        "outputs on photographs that the vertical derivative explains less well than the "
        "horizontal one does (squared correlations, paired by tile)",
    ),
    Claim(
        "horizontal_gradient",
        "B 10.1.2",
        "The kernels for vertical edges compute a localized horizontal difference.",
        "outputs on photographs that the horizontal derivative explains less well than the "
        "vertical one does; or an output on a vertical ramp",
    ),
    Claim(
        "index_printed",
        "A 3.5",
        "H[i, j] is the sum over i', j' of W[i', j'] X[i' + t(i), j' + t(j)], with t defined on "
        "1 to 2k + 1.",
        "a position of an image at which t(i) or t(j) is not defined",
    ),
    Claim(
        "index",
        "A 3.5",
        "H[i, j] is the sum over i', j' of W[i', j'] X[i + t(i'), j + t(j')]; the same as printed "
        "where that is defined.",
        "a position where the sum is not the layer's output, or not the printed one",
    ),
    Claim(
        "fir",
        "A 3.5",
        "This corresponds (up to a sign convention) to a discrete convolution with a finite "
        "impulse response filter.",
        "an output with the reversed kernel that is not that of SciPy's convolution",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Photographs, made-up images, and A 3.5's sum."""
    import numpy as np

    from experiments import _filters as parts

    draw = lambda *key: np.random.default_rng([cfg.seed, *key])
    photos = {
        name: lambda i=i, name=name: parts.photograph(parts.load(name), cfg.tile, draw(0, i))
        for i, name in enumerate(cfg.photos)
    }
    images = {f"image {i}": lambda i=i: parts.indices(draw(1, i)) for i in range(cfg.images)}
    values = cells.all({**photos, **images, "synthetic": parts.synthetic})
    return {
        "photos": {name: values[name] for name in photos},
        "synthetic": values["synthetic"],
        "indices": [values[name] for name in images],
        "angles": list(parts.ANGLES),
        "bins": list(parts.BINS),
        "pictures": {name: parts.picture(parts.load(name), cfg.crop) for name in cfg.photos},
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Exact counts; the two derivatives paired by tile."""
    photos, made = data["photos"].values(), data["synthetic"]
    flat = [f for photo in photos for f in photo["flat"].values()]
    total = lambda rows, key: sum(row[key] for row in rows)
    at = {n: dict(zip(data["angles"], z, strict=True)) for n, z in made["edges"].items()}
    bright = {"left": at["vertical"][0], "right": at["vertical"][180]}
    colours = made["colours"]
    red = {name: "R" in name for pair in colours for name in pair[:2]}
    wrong = sum(z != LARGEST * (red[a] - red[b]) for a, b, z in colours)
    others = [abs(z) >= LARGEST for a, b, z in colours if "R" not in (a, b)]
    lines = list(made["lines"].values())
    explained = [pair for photo in photos for pair in photo["explained"]["red"]]
    across, down = zip(*explained, strict=True)
    return {
        "flat": all_of(
            exact(
                total(flat, "flat_nonzero"), total(flat, "flat"), "outputs of flat windows and 0"
            ),
            exact(total(flat, "beyond"), total(flat, "windows"), "outputs and their bound"),
        ),
        "bright_left": at_least(bright["left"], LARGEST / 2, "output, bright on the left"),
        "any_edge": all_of(
            *(at_least(z, LARGEST / 2, f"output, bright on the {s}") for s, z in bright.items())
        ),
        "ridge": all_of(
            at_least(
                min(row["on"] - row["off"] for row in lines), 1e-6, "lead of a line's pixels, least"
            ),
            at_least(
                min(row["on"] for row in lines) / max(row["edge"] for row in lines),
                1.0,
                "weakest line / strongest edge",
            ),
        ),
        "red_channel": all_of(
            exact(
                total(photos, "repainted"), total(photos, "positions"), "outputs after repainting"
            ),
            exact(wrong, len(colours), "edges between two colours and 3 times the red difference"),
        ),
        "red_edges": at_most(
            sum(others), 0, f"of {len(others)} edges without red, those that respond as much"
        ),
        "vertical_gradient": at_least(
            paired(down, across), 0.0, "explained by the vertical less by the horizontal derivative"
        ),
        "horizontal_gradient": all_of(
            at_least(
                paired(across, down),
                0.0,
                "explained by the horizontal less by the vertical derivative",
            ),
            at_most(abs(made["ramps"]["vertical"]["down"]), 0.0, "output on a vertical ramp"),
        ),
        "index_printed": at_most(
            total(data["indices"], "undefined"),
            0,
            f"of {total(data['indices'], 'positions'):,} positions, those without a printed sum",
        ),
        "index": all_of(
            exact(
                total(data["indices"], "layer_differ"),
                total(data["indices"], "positions"),
                "sums and outputs of the layer",
            ),
            exact(
                total(data["indices"], "defined_differ"),
                total(data["indices"], "positions") - total(data["indices"], "undefined"),
                "sums and printed sums",
            ),
        ),
        "fir": exact(
            sum(photo["fir"]["differ"] for photo in photos),
            sum(photo["fir"]["compared"] for photo in photos),
            "outputs",
        ),
    }


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Flat windows; explained variance; edges, lines and ramps."""
    photos, made = data["photos"], data["synthetic"]
    flat = [
        [photo, name, f"{f['windows']:,}", f"{f['flat']:,}", f["flat_nonzero"], f["beyond"]]
        for photo, found in photos.items()
        for name, f in found["flat"].items()
    ]
    explained = []
    for name in ("vertical", "horizontal", "red"):
        pairs = [pair for found in photos.values() for pair in found["explained"][name]]
        for label, values in zip(("horizontal", "vertical"), zip(*pairs, strict=True), strict=True):
            e = estimate(values)
            explained.append([name, label, f"{e.mean:.3f}", f"{e.deviation:.3f}", e.n])
    at = {n: dict(zip(data["angles"], z, strict=True)) for n, z in made["edges"].items()}
    edges = [
        [side, *(f"{at[name][angle]:g}" for name in at)]
        for side, angle in {"left": 0, "top": 90, "right": 180, "bottom": 270}.items()
    ]
    ramps = [
        [f"ramp, brighter {where}", *(f"{made['ramps'][name][key]:g}" for name in at)]
        for where, key in {"downwards": "down", "to the right": "right"}.items()
    ]
    return [
        Table(
            "Windows of the photographs",
            ["photograph", "kernel", "windows", "flat", "of them not 0", "beyond the bound"],
            flat,
        ),
        Table(
            "Share of the output's variance explained, by tile",
            ["kernel", "derivative", "mean", "deviation", "n"],
            explained,
        ),
        Table("Output at an edge or on a ramp, contrast 1", ["bright side", *at], [*edges, *ramps]),
        Table(
            "The ridge kernel at a line of width 1",
            ["angle", "on the line", "beside it, at most", "at an edge, at most"],
            [
                [a, *(f"{row[k]:g}" for k in ("on", "off", "edge"))]
                for a, row in made["lines"].items()
            ],
        ),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Photographs with their activation maps; responses by flatness, direction and colour."""
    from experiments import _filters_draw as figures

    return {
        "activation_maps": figures.activation_maps(data),
        "responses": figures.responses(data),
    }


QUESTION = Question(
    name="filters",
    title="What do hand-crafted kernels respond to?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="Chapter B calls the change across a vertical edge a vertical gradient: the edge is "
    "vertical, the gradient that the kernel measures is horizontal. A vertical edge that is bright "
    "on the right gives a large negative output. The red filter sees edges in the red channel: "
    "white on black as well as red on black. In chapter A's sum the offset t belongs to the "
    "summed index: X[i + t(i'), ...]. As i' + t(i) = i + t(i'), the printed sum is the same where "
    "t(i) is defined, which is only the first 2k + 1 rows and columns.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
