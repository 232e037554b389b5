"""What does an output depend on, and how strongly? A 4.1."""

import math
from collections.abc import Sequence
from operator import ne
from typing import Annotated, Any

import numpy as np
from experiments.receptive_field import networks
from experiments.receptive_field.networks import Random, Trained
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnlab import lab
from cnnlab.analysis.fields import expected_width
from cnnlab.lab import Cells, Count, Counts, Estimate, Records, Verdict

question = lab.Question(
    "receptive_field",
    "What does an output depend on, and how strongly?",
    note='The chapter\'s R(i, j) for stacks, written with "approximately", is exact away from the '
    "borders. That the field grows linearly with depth needs layers without stride: poolings make "
    "it grow exponentially. A width here is the standard deviation of the squared gradient of the "
    "middle output over the input positions, mean over inputs and channels.",
)

OddSizes = Annotated[Sequence[int], "list of at least 1 odd whole numbers >= 3"]
Several = Annotated[int, "whole number >= 3"]
RANDOM, TRAINED = Random(), Trained()
PICTURE = Trained("fashion_mnist", 3, (8,), 8, 150, 64, 64)


@question.measure(
    full={
        "depths": list(range(1, 11)), "models": 100, "random.channels": 32, "random.inputs": 32,
        "trained.steps": 1500, "picture.steps": 2000,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    seeds: Annotated[Count, "of random weights, and of trained networks"] = 20,
    kernels: Annotated[OddSizes, "of the stacks of convolutions without stride,"] = (3, 5),
    depths: Annotated[Counts, "and how many there are in a stack"] = (1, 2, 3, 4, 5, 6),
    stages: Annotated[Several, "convolutions, each followed by a 2x pooling"] = 4,
    models: Annotated[Count, "random chains whose closed form is compared with gradients"] = 25,
    pixels: Annotated[
        Several, "of the sequence that a stack of size-3 convolutions comes to see whole"
    ] = 9,
    random: Annotated[Random, "effective fields of random 3x3 stacks"] = RANDOM,
    trained: Annotated[Trained, "effective fields before and after training"] = TRAINED,
    picture: Annotated[Trained, "the same of one network, to look at"] = PICTURE,
) -> dict[str, Any]:
    """Supports of gradients, then effective fields."""
    several, depths_seen = range(seed, seed + seeds), range(1, pixels)
    chain = lambda chain: networks.random_field(np.random.default_rng([seed, chain]))
    seen = lambda depth: networks.coverage(pixels, depth)
    fields = lambda depth, seed: networks.random_effective_field(depth, random, seed)
    of = {"depth": trained.depths, "seed": several}
    baseline = lambda: lab.logistic_regression(lab.read_data({"data": trained.dataset}))
    one = {"depth": picture.depths, "seed": [seed]}
    return {
        "stacks": cells.records("stack", networks.stack_field, kernel=kernels, depth=depths),
        "pooled": cells.get("pooled", lambda: list(networks.pooled_fields(stages))),
        "chains": cells.records("chain", chain, chain=range(models)),
        "pixels": pixels,
        "coverage": cells.records("coverage", seen, depth=depths_seen),
        "random": cells.records("random", fields, depth=random.depths, seed=several),
        "trained": cells.records("trained", networks.trained_fields(trained), **of),
        "picture": cells.records("picture", networks.trained_fields(picture), **one),
        "baseline": 100 * cells.get("logistic regression", baseline),
        "kernels": {"trained": trained.kernel, "picture": picture.kernel},
    }


@question.learnt
def learnt(trained: Records, baseline: float) -> dict[str, Verdict]:
    found = trained.where(when="trained").by("depth", of="accuracy")
    deepest = max(found)  # one layer alone is no better than its features' mean
    return lab.beats({f"{deepest} layers": lab.estimate(lab.percent(found[deepest]))}, baseline)


@question.answer
def answer(stacks: Records, random: Records, trained: Records) -> str:
    wider = math.exp(lab.estimate(widening(trained)).mean)
    return (
        f"On a patch that grows linearly with depth (and doubles with every pooling), but on its "
        f"middle most: with random weights its width grows as L^{exponent(random).mean:.2f}, and "
        f"training changes it by a factor of {wider:.2f}."
    )


@question.claim("A 4.1", "a pixel of that patch without a gradient, or one outside with one")
def patches(stacks: Records) -> Verdict:
    """One convolution of radius k sees the patch P_k, two see P_2k, three P_3k, etc."""
    return lab.exact(stacks["unlike"], [n**2 for n in stacks["size"]], "pixels")


@question.claim("A 4.1", "a stack of convolutions with another measured size")
def linear(stacks: Records) -> Verdict:
    """The receptive field grows linearly with depth where no layer has a stride: 1 + 2 k L pixels
    after L layers."""
    return lab.none_of((r["size"] != size(r["kernel"], r["depth"]) for r in stacks), "sizes")


@question.claim(
    "A 4.1",
    "two convolutions of a network with pooling that add different numbers of pixels",
    instead="with_pooling",
)
def linear_as_printed(pooled: Records) -> Verdict:
    """As printed, for convolutional models, pooling or not: the receptive field grows linearly with
    depth."""
    added = pooled["added"]
    return lab.none_of((n != added[0] for n in added), "numbers of pixels added")


@question.claim("A 4.1, 4.5", "a convolution that adds another number of pixels")
def with_pooling(pooled: Records) -> Verdict:
    """Behind poolings by 2 a convolution of size s adds (s - 1) times the distance between its
    inputs, which every pooling doubles: exponential growth."""
    wrong = (row["added"] != 2 * row["apart"] for row in pooled)
    return lab.none_of(wrong, "numbers of pixels added")


@question.claim("A 4.1", "a random chain of layers whose gradients have another extent")
def closed_form(chains: Records) -> Verdict:
    """Size, stride and centre of a receptive field follow from kernel sizes, strides, dilations and
    paddings alone."""
    numbers = lambda name: [n for chain in chains[name] for axis in chain for n in axis]
    return lab.none_of(map(ne, numbers("closed"), numbers("measured")), "numbers")


@question.claim("A 4.1", "a shallower stack that sees all from everywhere, or that one not")
def whole(coverage: Records, pixels: int) -> Verdict:
    """A deep enough stack yields a global receptive field: (n - 1) / k layers of radius k on n
    positions, no fewer."""
    wrong = ((row["coverage"] == 1) != (row["depth"] >= pixels - 1) for row in coverage)
    return lab.none_of(wrong, "depths")


@question.claim("arXiv:1701.04128, 2", "an exponent nearer to 1 or to 0 than to 1/2", arms=())
def effective_(random: Records) -> Verdict:
    """How strongly the pixels of a receptive field count is another matter: with random weights the
    width of the effective field grows as the square root of depth, not linearly."""
    return lab.between(exponent(random), 0.25, 0.75, "exponent of width against depth")


@question.claim(
    "arXiv:1701.04128, 3.2",
    "trained networks whose field is less than a tenth wider than before, in the mean",
)
def training(trained: Records) -> Verdict:
    """Training widens the effective receptive field, read as: by a tenth or more."""
    wider = lab.estimate(widening(trained))
    return lab.at_least(wider, math.log(1.1), "log of width after over width before")


def exponent(random: Records) -> Estimate:
    """The slope of log width against log depth, a point a depth and seed."""
    return lab.slope(*([math.log(value) for value in random[of]] for of in ("depth", "width")))


def widening(trained: Records) -> list[float]:
    """Of every seed, the mean over depths of the logarithm of what training does to the width."""
    widths = trained.pivot("seed", "when", "width").values()
    pairs = (zip(of["untrained"], of["trained"], strict=True) for of in widths)
    logs = [[math.log(after / before) for before, after in of] for of in pairs]
    return [sum(of) / len(of) for of in logs]


def size(kernel: int, depth: int) -> int:
    """Of the field of a stack without stride, in pixels."""
    return 1 + (kernel - 1) * depth


@question.table
def sizes(stacks: Records, pooled: Records) -> lab.Rows:
    """Size of the field (pixels) after so many convolutions"""
    rows = {f"{s}x{s}": sizes for s, sizes in stacks.by("kernel", of="size").items()}
    rows["3, pooling between"] = pooled["measured"]
    depths = range(max(map(len, rows.values())))
    for name, found in rows.items():
        yield {"kernel": name, **{str(i + 1): found[i] if i < len(found) else "" for i in depths}}


@question.table
def random_widths(random: Records) -> lab.Rows:
    """Effective width (pixels), random 3x3 stacks"""
    for depth, widths in random.by("depth", of="width").items():
        yield {
            "depth": depth, "size of the field": size(3, depth),
            "sqrt(L (s^2 - 1) / 12)": f"{expected_width(3, depth):.2f}",
            "width": f"{lab.estimate(widths):.2f}", "n": len(widths),
        }  # fmt: skip


@question.table
def trained_widths(trained: Records, kernels: dict[str, int]) -> lab.Rows:
    """Effective width (positions), stacks without stride"""
    for depth, rows in trained.by("depth").items():
        widths = rows.by("when", of="width")
        accuracies = rows.where(when="trained")["accuracy"]
        yield {
            "depth": depth, "size of the field": size(kernels["trained"], depth),
            **{when: f"{lab.estimate(found):.2f}" for when, found in widths.items()},
            "test accuracy (%)": f"{lab.estimate([100 * a for a in accuracies]):.2f}",
            "n": len(accuracies),
        }  # fmt: skip


@question.table
def some_chains(chains: Records) -> lab.Rows:
    """Random chains: size, stride, centre along each axis, the first ten"""
    for row in chains[:10]:
        yield {"chain": row["about"], "closed form": row["closed"], "measured": row["measured"]}


@question.figure(10, 4.2, serves="effective")
def growth(
    figure: Figure,
    stacks: Records,
    pooled: Records,
    random: Records,
    trained: Records,
    kernels: dict[str, int],
) -> None:
    """Left: the size of the receptive field against depth, with and without pooling. Right: the
    width of the effective field, which grows as the square root of depth (dotted), not linearly."""
    left, right = figure.subplots(1, 2)
    for s, of in stacks.by("kernel").items():
        [line] = left.plot(of["depth"], [size(s, depth) for depth in of["depth"]], lw=1)
        left.plot(of["depth"], of["size"], "o", c=line.get_color(), label=f"{s}x{s}, stride 1")
    depths = range(1, len(pooled) + 1)
    [line] = left.plot(depths, pooled["closed"], lw=1)
    color, label = line.get_color(), "3, pooling by 2 between"
    left.plot(depths, pooled["measured"], "s", c=color, label=label)
    left.set(xlabel="convolutions", ylabel="size of the receptive field (pixels)", ylim=0)
    left.set_title("closed form (lines), gradients (marks)")
    left.legend()
    depths = sorted({*random["depth"]})
    root = [expected_width(3, depth) for depth in depths]
    right.plot(depths, root, "k:", lw=1, label=r"$\sqrt{L (s^2 - 1) / 12}$, $s = 3$")
    uniform = [math.sqrt((size(3, depth) ** 2 - 1) / 12) for depth in depths]
    right.plot(depths, uniform, "k--", lw=1, label="if all of the field counted alike")
    networks = {"random weights, 3x3": random}
    networks |= {f"size {kernels['trained']}, {w}": of for w, of in trained.by("when").items()}
    for (label, rows), marker in zip(networks.items(), "os^", strict=True):
        widths = dict(sorted(rows.by("depth", of="width").items()))
        lab.curve(right, widths, f"{marker}-", spread="deviation", ms=5, lw=1, label=label)
    lab.log_axes(right, x=sorted({*random["depth"], *trained["depth"]}), y=[0.5, 1, 2, 4, 8])
    right.set(xlabel="convolutions", ylabel="width of the effective field (pixels)")
    right.set_title("mean and standard deviation over seeds")
    right.legend(fontsize=8)


@question.figure(10, 4.8)
def effective(figure: Figure, random: Records, picture: Records, kernels: dict[str, int]) -> None:
    """How strongly a middle output depends on each pixel: of random stacks of growing depth, and of
    a network before and after training; the frame is the receptive field."""
    fields = []
    for depth, pictures in random.by("depth", of="picture").items():
        mean = np.sqrt(np.mean(np.square(pictures), 0))
        title = f"random, {depth} layer{'s' if depth > 1 else ''}"
        fields.append((np.pad(mean, max(random["depth"]) - depth), title, size(3, depth)))
    for row in picture:
        title = f"{row['when']}, {row['depth']} layers"
        side = size(kernels["picture"], row["depth"])
        fields.append((np.atleast_2d(row["picture"]), title, side))
    grid = lab.panels(figure, len(fields), 2)
    for axes, (seen, title, side) in zip(grid, fields, strict=True):
        style = {"cmap": "magma", "vmin": 0, "vmax": 1}
        image = lab.picture(axes, seen / seen.max(), title=title, **style)
        down, right = (n // 2 - side / 2 for n in seen.shape)
        frame = {"fill": False, "ec": "deepskyblue", "lw": 1}
        axes.add_patch(Rectangle((right, down), side, side, **frame))
    figure.colorbar(image, ax=grid, label="gradient magnitude, relative", shrink=0.7)


main = lab.command(question)
