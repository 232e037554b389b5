"""The published table of poolings on MNIST-1D, cell by cell (A 4.5, 4.7)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from experiments.mnist1d.networks import accuracies
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import data, lab, nn
from cnnlab.config import ConfigError
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Counts, Records, Verdict

# Test accuracy in %, at step 6,000 of the authors' own notebook (n = 1), by training examples.
PUBLISHED = {
    1_000: {"none": 59.2, "stride": 57.4, "max": 78.2, "average": 78.0, "L2": 77.2},
    5_000: {"none": 91.9, "stride": 89.9, "max": 94.5, "average": 94.0, "L2": 95.3},
    50_000: {"none": 96.3, "stride": 95.4, "max": 98.1, "average": 97.3, "L2": 97.1},
}
POOLS = ("none", "stride", "max", "average", "L2")
POOLED = POOLS[2:]
TEST = 1000
ROUNDED = 0.5  # points: less than that is no difference
CHANNELS = 20

question = lab.Question(
    "pooling_table",
    "Do we find the published accuracies of poolings on MNIST-1D?",
    note="Networks and training are those of the notebook: two convolutions of 20 channels and "
    "width 3 with ReLUs, each with a stride of 2 or followed by a pooling of 2, or neither; "
    "flattened, linear; Adam at 1e-2, 6,000 batches of 100, 1,000 test examples. It has one run of "
    "each, all with one start.",
)


@question.check
def check(sizes: Sequence[int], steps: int, every: int) -> None:
    """Whole batches, sizes that the table has, and a test of the last step."""
    if not set(sizes) <= set(PUBLISHED):
        raise ConfigError(f"sizes: expected some of {list(PUBLISHED)}, got {list(sizes)}")
    if steps % every:
        raise ConfigError(f"every: expected a divisor of steps={steps}, got {every}")


@question.measure(full={"sizes": list(PUBLISHED)})
def measure(
    cells: Cells,
    *,
    seed: int,
    sizes: Annotated[Counts, "training examples, of the published ones"] = (1_000, 5_000),
    seeds: Annotated[Count, "repetitions with other initial weights"] = 10,
    steps: Annotated[Count, "batches of 100, as published"] = 6000,
    every: Annotated[Count, "steps between tests"] = 1000,
) -> dict[str, Any]:
    """The test accuracy of each network after the last step, by pooling and training examples."""
    several = range(seed, seed + seeds)
    examples = functools.cache(sequences)

    def train(size: int, pool: str) -> list[dict[str, Any]]:
        net = functools.partial(Net, pool=pool)
        [curves] = accuracies(net, [examples(size)], several, steps=steps, every=every)
        return [
            {"seed": one, "accuracy": 100 * curve[-1]}
            for one, curve in zip(several, curves, strict=True)
        ]

    return {
        "runs": cells.records("training", train, size=sizes, pool=POOLS),
        "baselines": cells.records(
            "baseline", lambda size: 100 * lab.logistic_regression(examples(size)), size=sizes
        ),
    }


def sequences(size: int) -> data.Dataset:
    """So many training examples of MNIST-1D, and 1,000 to test."""
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples = size + TEST
    args.train_split = size / (size + TEST)
    made = make_dataset(args)
    part = lambda x, y: ArraySplit(made[x].astype(np.float32)[..., None], made[y])
    train, test = part("x", "y"), part("x_test", "y_test")
    return dataclasses.replace(data.mnist1d(val_fraction=0), train=train, test=test)


class Net(eqx.Module):
    """Two convolutions, each with its pooling or stride, then a linear layer of all values."""

    convs: list[nn.Conv1d]
    linear: nn.Linear
    pool: str = eqx.field(static=True)

    def __init__(self, length: int, classes: int, *, pool: str, key: PRNGKeyArray):
        first, second, last = jr.split(key, 3)
        stride = 2 if pool == "stride" else 1
        self.convs = [
            nn.Conv1d(c, CHANNELS, 3, stride=stride, padding=[(1, 1)], algorithm="taps", key=k)
            for c, k in ((1, first), (CHANNELS, second))
        ]
        self.pool = pool
        positions = length if pool == "none" else -(-length // 2 // 2)
        self.linear = nn.Linear(CHANNELS * positions, classes, key=last)

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b k"]:
        h = x[..., None]
        for conv in self.convs:
            h = pooled(conv(h, activation="relu"), self.pool)
        # Channel by channel, as PyTorch flattens.
        return self.linear(jnp.swapaxes(h, -1, -2).reshape(len(x), -1))


def pooled(h: Float[Array, "b n c"], pool: str) -> Float[Array, "b m c"]:
    """Windows of two positions by their maximum, mean, or norm, whose gradient at 0 is 0."""
    if pool not in POOLED:
        return h
    pairs = h.reshape(len(h), -1, 2, h.shape[-1])
    if pool == "max":
        return pairs.max(2)
    if pool == "average":
        return pairs.mean(2)
    squares = jnp.square(pairs).sum(2)
    some = squares > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, squares, 1.0)), 0.0)


def cell(runs: Records, size: int, pool: str) -> list[float]:
    return runs.where(size=size, pool=pool)["accuracy"]


def lead(runs: Records, size: int, pool: str, over: str) -> lab.Estimate:
    """Points by which one kind of network is ahead, paired by seed."""
    return lab.paired(cell(runs, size, pool), cell(runs, size, over))


@question.learnt
def learnt(runs: Records, baselines: Records) -> dict[str, Verdict]:
    arms: dict[str, Verdict] = {}
    for size, [baseline] in baselines.by("size", of="baseline").items():
        of = {f"{pool}, {size:,}": lab.estimate(cell(runs, size, pool)) for pool in POOLS}
        arms |= lab.beats(of, baseline)
    return arms


@question.answer
def answer(runs: Records) -> str:
    size = min(runs["size"])
    ours = (
        f"{pool} {lab.estimate(cell(runs, size, pool)).mean:.1f} ({PUBLISHED[size][pool]})"
        for pool in POOLS
    )
    return f"With {size:,} examples, in percent (published): {', '.join(ours)}."


@question.claim("arXiv:2011.14439, notebook", "a cell that a run of ours hardly ever has")
def table(runs: Records) -> Verdict:
    """Test accuracy without pooling, with stride 2, maxima, means and norms: 59.2, 57.4, 78.2, 78.0
    and 77.2 % with 1,000 training examples, 91.9, 89.9, 94.5, 94.0 and 95.3 % with 5,000, 96.3,
    95.4, 98.1, 97.3 and 97.1 % with 50,000, each where another run of ours would lie with 95 %, or
    half a point off; of the sizes that are measured here."""
    found = lambda size, pool: lab.estimate(cell(runs, size, pool))
    what = "{}, {:,} examples, %".format
    return lab.all_of(
        lab.reproduced(PUBLISHED[size][pool], found(size, pool), what(pool, size), margin=ROUNDED)
        for size in runs.by("size")
        for pool in POOLS
    )


@question.claim("A 4.5, 4.7", "a pooling that is no better there")
def few(runs: Records) -> Verdict:
    """Where examples are few, pooling is better than a stride and than none."""
    size = min(runs["size"])
    return lab.all_of(
        lab.at_least(lead(runs, size, pool, over), 0.0, f"{pool} - {over} in points")
        for pool in POOLED
        for over in ("stride", "none")
    )


@question.claim("arXiv:2011.14439, notebook", "a pooling whose lead does not shrink")
def many(runs: Records) -> Verdict:
    """The discrepancy decreases as the number of training examples increases: the lead over no
    pooling is smaller with most examples than with fewest."""
    least, most = min(runs["size"]), max(runs["size"])

    def less(pool: str) -> Verdict:
        with_size = lambda size: [
            a - b for a, b in zip(cell(runs, size, pool), cell(runs, size, "none"), strict=True)
        ]
        shrinks = lab.paired(with_size(least), with_size(most))
        return lab.at_least(shrinks, 0.0, f"{pool}: lead at {least:,} - at {most:,} in points")

    return lab.all_of(map(less, POOLED))


@question.table
def numbers(runs: Records) -> lab.Rows:
    """Test accuracy in %, and beside it what was published"""
    for size in runs.by("size"):
        row: dict[str, object] = {"examples": f"{size:,}"}
        for pool in POOLS:
            ours = lab.estimate(cell(runs, size, pool))
            row |= {pool: f"{ours:.1f}", f"published, {pool}": PUBLISHED[size][pool]}
        yield row | {"n": ours.n}


@question.figure(9, 3.4)
def beside(figure: Figure, runs: Records) -> None:
    """Test accuracies with their 95 % intervals (dots) beside the published ones (dashes)."""
    sizes = runs.by("size")
    for axes, size in zip(lab.panels(figure, len(sizes)), sizes, strict=True):
        ours = [lab.estimate(cell(runs, size, pool)) for pool in POOLS]
        half = [lab.half_interval(e) for e in ours]
        label = f"here, n = {ours[0].n}"
        axes.errorbar(
            range(len(POOLS)), [e.mean for e in ours], half, fmt="o", capsize=3, label=label
        )
        published = list(PUBLISHED[size].values())
        axes.plot(published, "_", color="C1", ms=18, mew=2, label="published")
        axes.set(title=f"{size:,} training examples", ylabel="test accuracy, %")
        axes.set_xticks(range(len(POOLS)), POOLS)
    axes.legend(loc="lower right")


main = lab.command(question)

if __name__ == "__main__":
    main()
