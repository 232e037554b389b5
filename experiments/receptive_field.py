"""What does an output depend on, and how strongly? A 4.1."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, at_least, between, estimate, exact, slope
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

CLAIMS = (
    Claim(
        "patches",
        "A 4.1",
        "One convolution of radius k sees the patch P_k, two see P_2k, three P_3k, etc.",
        "a pixel of that patch without a gradient, or one outside with one",
    ),
    Claim(
        "linear",
        "A 4.1",
        "The receptive field grows linearly with depth where no layer has a stride: "
        "1 + 2 k L pixels after L layers.",
        "a stack of convolutions with another measured size",
    ),
    Claim(
        "linear_as_printed",
        "A 4.1",
        "As printed, for convolutional models, pooling or not: the receptive field grows linearly "
        "with depth.",
        "two convolutions of a network with pooling that add different numbers of pixels",
    ),
    Claim(
        "with_pooling",
        "A 4.1, 4.5",
        "Behind poolings by 2 a convolution of size s adds (s - 1) times the distance between its "
        "inputs, which every pooling doubles: exponential growth.",
        "a convolution that adds another number of pixels",
    ),
    Claim(
        "closed_form",
        "A 4.1",
        "Size, stride and centre of a receptive field follow from kernel sizes, strides, dilations "
        "and paddings alone.",
        "a random chain of layers whose gradients have another extent",
    ),
    Claim(
        "whole",
        "A 4.1",
        "A deep enough stack yields a global receptive field: (n - 1) / k layers of radius k on n "
        "positions, no fewer.",
        "a shallower stack that sees all from everywhere, or that one not",
    ),
    Claim(
        "effective",
        "A 4.1; Luo et al., 2016",
        "How strongly its pixels count is another matter: with random weights the width of the "
        "effective receptive field grows as the square root of depth, not linearly.",
        "an exponent nearer to 1 or to 0 than to 1/2",
    ),
    Claim(
        "training",
        "A 4.1; Luo et al., 2016",
        "Training widens the effective receptive field.",
        "trained networks whose field is no wider than before, in the mean",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Supports of gradients, then widths of effective fields."""
    import numpy as np

    from experiments import _receptive_field as nets

    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    tasks: dict[str, Any] = {
        f"stack {s}, {depth}": lambda s=s, depth=depth: nets.stack_field(depth, s)
        for s in cfg.kernels
        for depth in cfg.depths
    }
    tasks["pooled"] = lambda: nets.pooled_fields(cfg.stages)
    for i in range(cfg.models):
        rng = np.random.default_rng([cfg.seed, i])
        tasks[f"chain {i}"] = lambda rng=rng: nets.random_field(rng)
    tasks["coverage"] = lambda: nets.coverage(cfg.pixels)
    for depth in cfg.random.depths:
        for seed in seeds:
            options = (depth, 3, cfg.random.channels, cfg.random.inputs, seed)
            field = lambda options=options: _described(nets.random_effective_field(*options))
            tasks[f"random {depth}, seed {seed}"] = field
    studies: dict[str, Any] = {}
    for part in ("trained", "picture"):
        for depth in cfg[part].depths:
            for seed in seeds if part == "trained" else [cfg.seed]:

                def both(part=part, depth=depth, seed=seed) -> dict[str, Any]:
                    key, settings = f"{part}, {depth}", cfg[part]
                    if key not in studies:
                        studies.clear()
                        studies[key] = nets.Backbone(settings, [settings.channels] * depth)
                    found = studies[key].fields(seed)
                    pair = {when: _described(found[when]) for when in ("before", "after")}
                    return {**pair, "accuracy": found["accuracy"]}

                tasks[f"{part} {depth}, seed {seed}"] = both
    found = cells.all(tasks)
    by_depth = lambda part: {
        str(depth): [found[f"{part} {depth}, seed {seed}"] for seed in seeds]
        for depth in cfg[part].depths
    }
    return {
        "stacks": {str(s): [found[f"stack {s}, {d}"] for d in cfg.depths] for s in cfg.kernels},
        "pooled": found["pooled"],
        "chains": [found[f"chain {i}"] for i in range(cfg.models)],
        "pixels": cfg.pixels,
        "coverage": found["coverage"],
        "random": by_depth("random"),
        "kernel": cfg.trained.kernel,
        "trained": by_depth("trained"),
        "picture_kernel": cfg.picture.kernel,
        "picture": {
            str(depth): found[f"picture {depth}, seed {cfg.seed}"] for depth in cfg.picture.depths
        },
    }


def _described(field: Any) -> dict[str, Any]:
    """An effective field's width, and its picture: gradient magnitudes, the largest 1."""
    import numpy as np

    from cnnlab.analysis.fields import width

    magnitude = np.sqrt(field / field.max())
    return {"width": width(field), "picture": np.round(magnitude, 4).tolist()}


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Sizes as whole numbers; widths by a power law and by pairs of before and after."""
    stacks = [(int(s), *row) for s, rows in data["stacks"].items() for row in rows]
    areas = sum(size**2 for _, _, size, _ in stacks)
    added = [row["added"] for row in data["pooled"]]
    chains = [pair for chain in data["chains"]
              for pair in zip(chain["closed"], chain["measured"], strict=True)]  # fmt: skip
    numbers = [number for a, b in chains for number in zip(a, b, strict=True)]
    depths = range(1, len(data["coverage"]) + 1)
    needed = data["pixels"] - 1
    wrong = [(share == 1) != (depth >= needed) for depth, share in zip(depths, data["coverage"],
                                                                       strict=True)]  # fmt: skip
    return {
        "patches": exact(sum(unlike for *_, unlike in stacks), areas, "pixels"),
        "linear": exact(
            sum(size != 1 + (s - 1) * depth for s, depth, size, _ in stacks), len(stacks), "sizes"
        ),
        "linear_as_printed": exact(
            sum(a != added[0] for a in added), len(added), "numbers of pixels added"
        ),
        "with_pooling": exact(
            sum(row["added"] != 2 * row["apart"] for row in data["pooled"]),
            len(added),
            "numbers of pixels added",
        ),
        "closed_form": exact(sum(a != b for a, b in numbers), len(numbers), "numbers"),
        "whole": exact(sum(wrong), len(wrong), "depths"),
        "effective": between(
            exponent(data["random"]), 0.25, 0.75, "exponent of width against depth"
        ),
        "training": at_least(
            estimate(widening(data["trained"])), 0.0, "log of width after over width before"
        ),
    }


def exponent(rows: Mapping[str, Any]) -> Any:
    """The slope of log width against log depth, a point a depth and seed."""
    points = [(math.log(int(d)), math.log(r["width"])) for d, seeds in rows.items() for r in seeds]
    return slope(*zip(*points, strict=True))


def widening(rows: Mapping[str, Any]) -> list[float]:
    """Of every seed, the mean over depths of the logarithm of what training does to the width."""
    logs = [
        [math.log(r["after"]["width"] / r["before"]["width"]) for r in seeds]
        for seeds in rows.values()
    ]
    return [sum(column) / len(column) for column in zip(*logs, strict=True)]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Stacks and pooled networks; effective widths; chains."""
    show = lambda values: f"{(e := estimate(values)).mean:.2f} ± {e.deviation:.2f}"
    sizes = [[f"{s}x{s}", *(size for _, size, _ in rows)] for s, rows in data["stacks"].items()]
    sizes.append(["3, pooling between", *(row["measured"] for row in data["pooled"])])
    longest = max(map(len, sizes))
    random = [
        [depth, 1 + 2 * int(depth), f"{math.sqrt(int(depth) * 8 / 12):.2f}",
         show([r["width"] for r in rows]), len(rows)]
        for depth, rows in data["random"].items()
    ]  # fmt: skip
    trained = [
        [depth, 1 + (data["kernel"] - 1) * int(depth),
         *(show([r[when]["width"] for r in rows]) for when in ("before", "after")),
         show([100 * r["accuracy"] for r in rows]), len(rows)]
        for depth, rows in data["trained"].items()
    ]  # fmt: skip
    chains = [[c["about"], c["closed"], c["measured"]] for c in data["chains"][:10]]
    return [
        Table("Size of the field (pixels) after so many convolutions",
              ["kernel", *range(1, longest)], [[*r, *[""] * (longest - len(r))] for r in sizes]),
        Table("Effective width (pixels), random 3x3 stacks", ["depth", "size of the field",
              "sqrt(L (s^2 - 1) / 12)", "width", "n"], random),
        Table("Effective width (positions), stacks without stride", ["depth",
              "size of the field", "untrained", "trained", "test accuracy (%)", "n"], trained),
        Table("Random chains: size, stride, centre along each axis, the first ten",
              ["chain", "closed form", "measured"], chains),
    ]  # fmt: skip


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Growth with depth; effective fields to look at."""
    from experiments._receptive_field_report import effective_fields, growth

    return {"growth": growth(data), "effective": effective_fields(data)}


QUESTION = Question(
    name="receptive_field",
    title="What does an output depend on, and how strongly?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note='The chapter\'s R(i, j) for stacks, written with "approximately", is exact away from the '
    "borders. That the field grows linearly with depth needs layers without stride: poolings make "
    "it grow exponentially. A width here is the standard deviation of the squared gradient of the "
    "middle output over the input positions, mean over inputs and channels.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
