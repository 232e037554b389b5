"""Is the regular pattern of VGG worth anything at equal cost? (A 4.6)"""

import functools
import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset
from cnnlab.lab import Cells, Count, Limit, Rates, Records, Study, Verdict

REGULAR, CONSTANT, HALVED = "doubled", "constant", "halved"
BLOCKS = 3
KERNEL = 3
POINT = 1.0
EQUAL = 0.05  # of the multiply-adds: whole channels come no closer

question = lab.Question(
    "regular_blocks",
    "Is a regular pattern of channels worth anything at equal cost?",
    note="Three blocks of as many 3x3 convolutions, each with a maximum of 2x2 windows but the "
    "last; a mean and a linear layer. Doubled: VGG's pattern. Constant, halved, and random widths, "
    "another for every layer, are scaled to as many multiply-adds; they differ in weights. The "
    "kernel size, which VGG fixes as well, is the same for all here.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "most_seeds": 6, "limit_train": None, "limit_eval": None, "steps": 1500,
        "rates": [3e-3, 1e-2],
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    width: Annotated[Count, "channels of the first block, as VGG has them"] = 9,
    depth: Annotated[Count, "convolutions of a block"] = 2,
    random: Annotated[Count, "patterns of random widths"] = 3,
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 4,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "validation and test images"] = 3000,
    steps: Annotated[Count, "batches"] = 400,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (1e-2,),
) -> dict[str, Any]:
    """The widths of each pattern and what they cost; which test images its networks have right."""
    if len(data.input_shape) != 3:
        raise ConfigError(f"data: expected images, got {data.input_shape}")
    found = patterns(data.input_shape, width, depth, random, seed)

    @functools.cache
    def study(pattern: str) -> Study:
        settings = {
            "backbone.plan": plan(found[pattern], depth), "optimizer": "adam",
            "schedule": "onecycle", "steps": steps, "batch_size": batch_size,
            "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, data=data)
        return Study({**settings, "optimizer.lr": cells.get(f"rate: {pattern}", tuned)}, data=data)

    def tested(seed: int, pattern: str) -> dict[str, Any]:
        e = study(pattern).evaluate(study(pattern).train(seed))
        return {"right": lab.pack(e.predicted == e.label), "accuracy": 100 * e.accuracy}

    narrow = lambda runs: all(lead(runs, other).narrow(POINT) for other in list(found)[1:])
    several = {"first": seed, "least": seeds, "most": most_seeds}
    baseline = lambda: lab.logistic_regression(study(REGULAR).data)
    return {
        "patterns": [
            {
                "pattern": pattern, "widths": widths, "parameters": study(pattern).parameters,
                "layers": multiply_adds(widths, data.input_shape, depth),
            }
            for pattern, widths in found.items()
        ],
        "networks": cells.seeds("tested", tested, narrow, **several, pattern=found),
        "baseline": 100 * cells.get("logistic regression", baseline),
    }  # fmt: skip


def patterns(
    in_shape: Sequence[int], width: int, depth: int, random: int, seed: int
) -> dict[str, list[int]]:
    """Channels of each layer, by pattern: VGG's first, the others scaled to cost as much."""
    each = lambda *blocks: [n for n in blocks for _ in range(depth)]
    regular = each(*(width * 2**i for i in range(BLOCKS)))
    raw = {CONSTANT: each(1.0, 1.0, 1.0), HALVED: each(4.0, 2.0, 1.0)}
    rng = np.random.default_rng(seed)
    for i in range(random):
        raw[f"random {i + 1}"] = list(np.exp2(rng.uniform(0, BLOCKS, BLOCKS * depth)))
    cost = lambda widths: sum(multiply_adds(widths, in_shape, depth))
    target = cost(regular)

    def scaled(widths: Sequence[float]) -> list[int]:
        at = lambda factor: [max(1, round(factor * n)) for n in widths]
        factors = np.geomspace(width / 16, width * 16, 2000)
        return min(map(at, factors), key=lambda found: abs(cost(found) - target))

    return {REGULAR: regular} | {pattern: scaled(widths) for pattern, widths in raw.items()}


def plan(widths: Sequence[int], depth: int) -> list[int | str]:
    """As a backbone's: "M" behind each block but the last."""
    blocks = [list(widths[i : i + depth]) for i in range(0, len(widths), depth)]
    return [entry for block in blocks for entry in (*block, "M")][:-1]


def multiply_adds(widths: Sequence[int], in_shape: Sequence[int], depth: int) -> list[int]:
    """Of each convolution; a map of n pixels along an axis is one of ceil(n / 2) after a block."""
    *sides, channels = in_shape
    found = []
    for layer, (c_in, c_out) in enumerate(itertools.pairwise([channels, *widths])):
        positions = np.prod([-(-n // 2 ** (layer // depth)) for n in sides])
        found.append(int(positions) * KERNEL**2 * c_in * c_out)
    return found


def lead(networks: Records, over: str) -> lab.Estimate:
    """Points of accuracy by which VGG's pattern is ahead."""
    return lab.lead(*(networks.where(pattern=one)["right"] for one in (REGULAR, over)))


def others(patterns: Records, *, random: bool) -> list[str]:
    names = [p for p in patterns["pattern"] if p != REGULAR]
    return [p for p in names if p.startswith("random") == random]


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    found = networks.by("pattern", of="accuracy")
    return lab.beats({pattern: lab.estimate(of) for pattern, of in found.items()}, baseline)


@question.answer
def answer(networks: Records) -> str:
    found = networks.by("pattern", of="accuracy")
    share = (f"{pattern} {lab.estimate(of).mean:.1f} %" for pattern, of in found.items())
    return f"Test accuracy at equal multiply-adds, by the channels: {', '.join(share)}."


@question.claim("A 4.6", "a layer that costs more or less")
def even(patterns: Records) -> Verdict:
    """To double the channels where the map is halved gives all layers within blocks, the first of
    each apart, as many multiply-adds."""
    [regular] = patterns.where(pattern=REGULAR)
    depth = len(regular["widths"]) // BLOCKS
    inner = [cost for i, cost in enumerate(regular["layers"]) if i % depth]
    return lab.none_of((cost != inner[0] for cost in inner[1:]), "layers")


@question.claim("A 4.6", "a pattern whose multiply-adds are more than 5 % away")
def equal(patterns: Records) -> Verdict:
    """The patterns that are compared cost the same, within 5 %."""
    [target] = map(sum, patterns.where(pattern=REGULAR)["layers"])
    away = max(abs(sum(layers) / target - 1) for layers in patterns["layers"])
    return lab.at_most(away, EQUAL, "largest relative difference of multiply-adds")


@question.claim("A 4.6", "a random pattern that is more than a point ahead")
def simple(networks: Records, patterns: Records) -> Verdict:
    """A regular pattern, enforced to simplify design, costs no accuracy: it is no more than a point
    behind any pattern of random widths."""
    return lab.all_of(
        lab.at_least(lead(networks, p), -POINT, f"{REGULAR} - {p} in points")
        for p in others(patterns, random=True)
    )


@question.claim("A 4.6", "another pattern that is ahead", arms=(REGULAR, CONSTANT, HALVED))
def doubled(networks: Records, patterns: Records) -> Verdict:
    """To double the channels between blocks is the better pattern: at equal multiply-adds ahead of
    channels that stay the same, and of channels that are halved."""
    return lab.all_of(
        lab.at_least(lead(networks, p), 0.0, f"{REGULAR} - {p} in points")
        for p in others(patterns, random=False)
    )


@question.table
def costs(networks: Records, patterns: Records) -> lab.Rows:
    """Test accuracy in % at equal multiply-adds"""
    for row in patterns:
        accuracy = lab.estimate(networks.where(pattern=row["pattern"])["accuracy"])
        yield {
            "channels": row["pattern"], "of the layers": ", ".join(map(str, row["widths"])),
            "parameters": f"{row['parameters']:,}", "multiply-adds": f"{sum(row['layers']):,}",
            **accuracy.columns(".2f"),
        }  # fmt: skip


@question.figure(9, 3.6)
def widths(figure: Figure, networks: Records, patterns: Records) -> None:
    """Left: the channels of each layer in each pattern. Right: test accuracy against the number of
    parameters; mean and 95 % interval over the seeds."""
    left, right = figure.subplots(1, 2)
    for row in patterns:
        layers = range(1, len(row["widths"]) + 1)
        [line] = left.plot(layers, row["widths"], "o-", ms=4, label=row["pattern"])
        accuracy = networks.where(pattern=row["pattern"])["accuracy"]
        at = {row["parameters"]: accuracy}
        lab.curve(right, at, "o", spread="interval", color=line.get_color())
    left.set(xlabel="layer", ylabel="channels", yscale="log")
    left.legend(fontsize=8, ncols=2)
    right.set(xlabel="parameters", ylabel="test accuracy, %", xscale="log")


main = lab.command(question)

if __name__ == "__main__":
    main()
