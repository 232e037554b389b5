"""An object at a place that training never showed (B 10.1, A 4.3)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset, Split
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Limit, Plan, Rates, Records, Study, Verdict, Widths

MLP, FLATTEN, POOLED = "MLP", "flattened", "pooled"
NETWORKS = (MLP, FLATTEN, POOLED)
HALF, ALL = "the left", "everywhere"
MLP_EVERYWHERE = f"{MLP}, {ALL}"
# Points of accuracy: "as accurate" is within one of them, and the intervals are to be as narrow.
POINT = 1.0

question = lab.Question(
    "new_places",
    "Is an object recognised at a place that training never showed?",
    note="Images are shrunk to half their side and put somewhere on an empty canvas of the side "
    "that they had: in training at the left, in the first third of the columns at which they can "
    "begin, or everywhere; the test images, which are others, at every second column. The "
    "convolutional networks have the same backbone and a linear classifier, on its mean over "
    "positions or on all of its values. A flattening network's maps move with the object; its "
    "classifier has no weights for where they then are. The intervals are for other weights "
    "and batches; the images are the same.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "plan": [16, "M", 32, "M", 64], "widths": [512], "most_seeds": 10, "limit_train": None,
        "limit_eval": None, "steps": 1500, "rates": [2e-3, 5e-3, 1e-2],
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    plan: Annotated[Plan, "of the backbone"] = (8, "M", 16, "M", 32),
    widths: Annotated[Widths, "of the MLP"] = (256,),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 5,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "test images"] = 1000,
    steps: Annotated[Count, "batches"] = 400,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (5e-3,),
) -> dict[str, Any]:
    """The accuracy of each network at every other column, trained at the left or everywhere."""
    if len(data.input_shape) != 3 or data.input_shape[0] < 4:
        raise ConfigError(f"data: expected images of 4 pixels or more, got {data.input_shape}")
    free = data.input_shape[1] - data.input_shape[1] // 2
    seen, columns = free // 3, range(0, free + 1, 2)
    shown = functools.cache(lambda places: canvases(data, seen if places == HALF else free, seed))

    @functools.cache
    def study(network: str, places: str) -> Study:
        kind = {"backbone": "mlp", "backbone.widths": widths}
        if network != MLP:
            pool = "avg" if network == POOLED else "flatten"
            kind = {"backbone.plan": plan, "head.pool": pool}
        settings = {
            **kind, "optimizer": "adam", "schedule": "onecycle", "steps": steps,
            "batch_size": batch_size, "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, data=shown(places))
        rate = cells.get(f"rate: {network}, {places}", tuned)
        return Study({**settings, "optimizer.lr": rate}, data=shown(places))

    def tested(seed: int, network: str, places: str) -> list[dict[str, Any]]:
        of = study(network, places)
        trained, rows = of.train(seed), []
        for column in columns:
            there = functools.partial(moved, columns=column, seed=0)
            accuracy = of.evaluate(trained, there, f"at {column}").accuracy
            rows.append({"column": column, "accuracy": 100 * accuracy})
        return rows

    narrow = lambda runs: all(lab.estimate(far(runs, net)).narrow(POINT) for net in NETWORKS)
    several = {"first": seed, "least": seeds, "most": most_seeds}
    arms = {"network": NETWORKS, "places": [HALF]}
    left = cells.seeds("tested", tested, narrow, **several, **arms)
    more = {"seed": left.by("seed"), "network": [MLP], "places": [ALL]}

    def baseline(places: str) -> float:
        """Logistic regression in percent, on test images at the places that it was shown."""
        of, last = shown(places), seen if places == HALF else free
        memory = of.test.in_memory()
        there = np.random.default_rng([seed, 2]).integers(0, last + 1, len(memory))
        image = moved(np.asarray(memory.image), there, seed=seed + 2)
        test = ArraySplit(image, np.asarray(memory.label))
        return 100 * lab.logistic_regression(dataclasses.replace(of, test=test))

    return {
        "seen": seen,
        "runs": left + cells.records("tested", tested, **more),
        "baselines": cells.records("logistic regression", baseline, places=(HALF, ALL)),
        "parameters": {network: study(network, HALF).parameters for network in NETWORKS},
    }


def canvases(data: Dataset, last: int, seed: int) -> Dataset:
    """Images of half the side on empty canvases, each at some row and at a column up to `last`;
    those of the test split in the upper left corner."""
    splits = [data.train, data.val, data.test]
    train, val, test = (shrunk(split) for split in splits)
    for i, split in enumerate((train, val)):
        generator = np.random.default_rng([seed, i])
        places = generator.integers(0, last + 1, len(split))
        split.image[:] = moved(split.image, places, seed=seed + i)
    return dataclasses.replace(data, train=train, val=val, test=test)


def shrunk(split: Split) -> ArraySplit:
    """Half as high and wide, by means of four pixels; zeros to the right and below."""
    memory = split.in_memory()
    images = np.asarray(memory.image)
    n, h, w, c = images.shape
    small = images[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    canvas = np.zeros_like(images)
    canvas[:, : h // 2, : w // 2] = small.mean((2, 4)).round()
    return ArraySplit(canvas, np.asarray(memory.label))


def moved(
    canvas: UInt8[np.ndarray, "n h w c"], columns: Sequence[int] | int, *, seed: int
) -> UInt8[np.ndarray, "n h w c"]:
    """Objects from the upper left corner to these columns, each to a random row that has room."""
    n, h, w, _ = canvas.shape
    down = np.random.default_rng(seed).integers(0, h - h // 2 + 1, n)
    rows = (np.arange(h) - down[:, None]) % h
    columns = (np.arange(w) - np.broadcast_to(columns, n)[:, None]) % w
    return canvas[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def at(runs: Records, network: str, places: str, columns: Any) -> list[float]:
    """Of each network the mean accuracy, in percent, at the columns for which a condition holds."""
    found = runs.where(lambda r: columns(r["column"]), network=network, places=places)
    return [lab.estimate(of).mean for of in found.by("seed", of="accuracy").values()]


def near(runs: Records, network: str, seen: int) -> list[float]:
    """At the columns that training at the left showed."""
    return at(runs, network, HALF, lambda column: column <= seen)


def far(runs: Records, network: str, places: str = HALF) -> list[float]:
    """At the last third of the columns, a third of all away from what the left showed."""
    last = max(runs["column"])
    return at(runs, network, places, lambda column: column > last * 2 / 3)


@question.learnt
def learnt(runs: Records, seen: int, baselines: Records) -> dict[str, Verdict]:
    """Each at the places that it was shown."""
    found = {network: lab.estimate(near(runs, network, seen)) for network in NETWORKS}
    everywhere = {MLP_EVERYWHERE: lab.estimate(at(runs, MLP, ALL, lambda column: True))}
    beaten = baselines.by("places", of="logistic regression")
    return lab.beats(found, *beaten[HALF]) | lab.beats(everywhere, *beaten[ALL])


@question.answer
def answer(runs: Records, seen: int) -> str:
    mean = lambda values: lab.estimate(values).mean
    of = (
        f"{network} {mean(near(runs, network, seen)):.0f} and {mean(far(runs, network)):.0f} %"
        for network in NETWORKS
    )
    everywhere = mean(far(runs, MLP, ALL))
    return (
        f"Trained with objects at the left, tested at the left and at the right: {', '.join(of)}; "
        f"an MLP that was shown all places {everywhere:.0f} %."
    )


@question.claim("B 10.1", "an MLP that recognises more than a sixth of them", arms=(MLP,))
def mlp(runs: Records) -> Verdict:
    """If an object appears in a different location, a fully-connected network has no innate
    mechanism to recognise it as the same: no more than 15 % are right, where chance is 10 %."""
    return lab.at_most(lab.estimate(far(runs, MLP)), 15.0, "MLP at new places, %")


@question.claim(
    "B 10.1, A 4.3",
    "a pooled network that loses more than a point",
    arms=(POOLED,),
    instead="reduction",
)
def pooled(runs: Records, seen: int) -> Verdict:
    """Convolutions with a reduction over positions recognise an object that appears in a different
    location: a pooled network is as accurate there as at old places, within a point."""
    less = lab.paired(far(runs, POOLED), near(runs, POOLED, seen))
    return lab.at_least(less, -POINT, "pooled: new - old places in points")


@question.claim(
    "A 4.3", "a flattening network as accurate as the pooled one", arms=(FLATTEN, POOLED)
)
def reduction(runs: Records) -> Verdict:
    """Equivariance is not invariance: with the same convolutions, a classifier of the flattened
    maps recognises fewer objects at new places than one of their mean."""
    points = lab.paired(far(runs, POOLED), far(runs, FLATTEN))
    return lab.at_least(points, 0.0, "pooled - flattened at new places in points")


@question.claim("B 10.1", "such an MLP that is as accurate", arms=(MLP_EVERYWHERE, POOLED))
def data(runs: Records) -> Verdict:
    """A fully-connected network must learn this invariance from data: an MLP that was shown all
    places with as many images is less accurate there than a pooled network that was not."""
    points = lab.paired(far(runs, POOLED), far(runs, MLP, ALL))
    return lab.at_least(points, 0.0, "pooled (the left) - MLP (everywhere) in points")


@question.table
def accuracies(runs: Records, parameters: dict[str, int]) -> lab.Rows:
    """Test accuracy in % with the object at each column; training showed columns 0 to {seen}, or
    all"""
    for (network, places), found in runs.by("network", "places").items():
        by_column = found.by("column", of="accuracy")
        yield {
            "network": network, "parameters": f"{parameters[network]:,}", "trained at": places,
            **{str(column): f"{lab.estimate(of):.1f}" for column, of in by_column.items()},
            "n": len(found.by("seed")),
        }  # fmt: skip


@question.figure(7, 4)
def places(figure: Figure, runs: Records, seen: int) -> None:
    """Accuracy against the column at which the object begins, of networks trained with it at the
    left, which is shaded, or everywhere; mean, lowest and highest of the seeds."""
    axes = figure.subplots()
    for (network, places), found in runs.by("network", "places").items():
        style = {"color": f"C{NETWORKS.index(network)}", "ms": 4, "label": f"{network}, {places}"}
        accuracies = found.by("column", of="accuracy")
        lab.curve(axes, accuracies, "o-" if places == HALF else "o:", spread="range", **style)
    axes.axvspan(0, seen, color="grey", alpha=0.15, lw=0)
    axes.axhline(10, color="grey", lw=1, ls="--")
    axes.set(xlabel="column of the object", ylabel="test accuracy, %", ylim=(0, 100))
    axes.legend(title="trained with objects at")


main = lab.command(question)

if __name__ == "__main__":
    main()
