"""Does the order of an image's channels matter? (A 1.2)"""

import dataclasses
import functools
from typing import Annotated, Any

import equinox as eqx
import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset, Split
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Limit, Plan, Rates, Records, Study, Trained, Verdict

PLAIN, CHANNELS, PIXELS = "as it is", "channels permuted", "pixels permuted"
ARMS = (PLAIN, CHANNELS, PIXELS)
ORDER = (2, 0, 1)
ROUNDING = 1e-5
POINT = 1.0

question = lab.Question(
    "channel_order",
    "Does the order of an image's channels matter?",
    note="Each image has three objects, one a channel, and the label is that of the first: an "
    "order that is a convention, but one that must be known. All networks start alike, so that "
    "with permuted channels the first kernel's weights are of other channels: another start. "
    "Permuted pixels are the same for all images, in training and test.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "plan": [16, "M", 32, "M", 64], "limit_train": None, "limit_eval": None, "steps": 1500,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    plan: Annotated[Plan, "of the backbone"] = (16, "M", 24, "M", 32),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 6,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "test images"] = 2000,
    steps: Annotated[Count, "batches"] = 600,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (3e-3, 1e-2),
) -> dict[str, Any]:
    """Networks trained with each order, tested with the same; and with the channels in another."""
    if len(data.input_shape) != 3 or data.input_shape[-1] != 1:
        raise ConfigError(f"data: expected images with one channel, got {data.input_shape}")
    shown = functools.cache(lambda arm: permuted(three(data, seed), arm))

    @functools.cache
    def study(arm: str) -> Study:
        settings = {
            "backbone.plan": plan, "optimizer": "adam", "schedule": "onecycle", "steps": steps,
            "batch_size": batch_size, "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, data=shown(arm))
        return Study(
            {**settings, "optimizer.lr": cells.get(f"rate: {arm}", tuned)}, data=shown(arm)
        )

    run = lambda seed, arm: tested(study(arm), seed, arm)
    narrow = lambda runs: all(lead(runs, arm, PLAIN).narrow(POINT) for arm in (CHANNELS, PIXELS))
    several = {"first": seed, "least": seeds, "most": most_seeds}
    baseline = lambda: lab.logistic_regression(study(PLAIN).data)
    return {
        "untrained": cells.records(
            "difference", lambda seed: difference(study, seed), seed=range(seed, seed + seeds)
        ),
        "networks": cells.seeds("tested", run, narrow, **several, arm=ARMS),
        "baseline": 100 * cells.get("logistic regression", baseline),
    }


def three(data: Dataset, seed: int) -> Dataset:
    """Images with two others of the same split as second and third channel."""

    def part(split: Split, i: int) -> ArraySplit:
        memory = split.in_memory()
        images = np.asarray(memory.image)
        others = np.random.default_rng([seed, i]).integers(0, len(images), (2, len(images)))
        channels = [images, *(images[of] for of in others)]
        return ArraySplit(np.concatenate(channels, -1), np.asarray(memory.label))

    parts = (part(split, i) for i, split in enumerate((data.train, data.val, data.test)))
    train, val, test = parts
    shape = (*data.input_shape[:-1], 3)
    mean, std = np.repeat(data.mean, 3), np.repeat(data.std, 3)
    return dataclasses.replace(
        data, train=train, val=val, test=test, input_shape=shape, mean=mean, std=std
    )


def permuted(data: Dataset, arm: str) -> Dataset:
    """All images with their channels or their pixels in another order, the same for all."""
    if arm == PLAIN:
        return data
    part = lambda split: ArraySplit(reordered(split.image, arm), split.label)
    splits = {name: part(getattr(data, name)) for name in ("train", "val", "test")}
    return dataclasses.replace(data, **splits)


def reordered(images: Shaped[np.ndarray, "n h w c"], arm: str) -> Shaped[np.ndarray, "n h w c"]:
    if arm == CHANNELS:
        return images[..., list(ORDER)]
    n, h, w, c = images.shape
    order = np.random.default_rng(0).permutation(h * w)
    return images.reshape(n, h * w, c)[:, order].reshape(n, h, w, c)


def difference(study: Any, seed: int) -> dict[str, float]:
    """The largest difference of what two networks say a class is likely: with permuted
    channels and kernel, and without."""
    model, state = study(PLAIN).initial(seed)
    where = lambda m: m.backbone.stages[0].layers[0].weight
    permuted = eqx.tree_at(where, model, where(model)[:, :, list(ORDER)])
    plain = study(PLAIN).evaluate((model, state)).answers
    other = study(CHANNELS).evaluate((permuted, state)).answers
    return {"difference": float(np.abs(np.asarray(plain) - np.asarray(other)).max())}


def tested(study: Study, seed: int, arm: str) -> list[dict[str, Any]]:
    """Which test images are right, as trained; and for the plain network, in the other order."""
    trained: Trained = study.train(seed)
    found = {arm: study.evaluate(trained)}
    if arm == PLAIN:
        other = lambda images: reordered(images, CHANNELS)
        found[CHANNELS] = study.evaluate(trained, other, "channels permuted")
    return [
        {"test": test, "right": lab.pack(e.predicted == e.label), "accuracy": 100 * e.accuracy}
        for test, e in found.items()
    ]


def as_trained(networks: Records, arm: str) -> Records:
    return networks.where(lambda r: r["test"] == r["arm"], arm=arm)


def lead(networks: Records, arm: str, over: str) -> lab.Estimate:
    """Points by which one kind of network is ahead, each tested as it was trained."""
    return lab.lead(*(as_trained(networks, one)["right"] for one in (arm, over)))


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    found = {arm: lab.estimate(as_trained(networks, arm)["accuracy"]) for arm in ARMS}
    return lab.beats(found, baseline)


@question.answer
def answer(networks: Records) -> str:
    on = lambda rows: lab.estimate(rows["accuracy"]).mean
    other = networks.where(arm=PLAIN, test=CHANNELS)
    return (
        f"With channels permuted in training and test {on(as_trained(networks, CHANNELS)):.1f} % "
        f"are right, without {on(as_trained(networks, PLAIN)):.1f} %; permuted in the test alone, "
        f"{on(other):.1f} %; with permuted pixels {on(as_trained(networks, PIXELS)):.1f} %."
    )


@question.claim("A 1.2", "a probability that changes by more than rounding")
def layer(untrained: Records) -> Verdict:
    """Channels are not inherently ordered: with the channels of images and kernel permuted alike, a
    network says the same."""
    return lab.at_most(
        max(untrained["difference"]), ROUNDING, "largest difference of a probability"
    )


@question.claim("A 1.2", "an accuracy that is a point or more away", arms=(PLAIN, CHANNELS))
def convention(networks: Records) -> Verdict:
    """RGB vs GBR is a convention: networks that are trained and tested with another order of the
    channels are as accurate, within a point."""
    what = "channels permuted - as they are in points"
    return lab.between(lead(networks, CHANNELS, PLAIN), -POINT, POINT, what)


@question.claim("A 1.2", "a trained network that loses less than a point", arms=(PLAIN,))
def kept(networks: Records) -> Verdict:
    """A convention is to be kept: tested with another order than it was trained with, a network
    loses accuracy, a point or more."""
    plain = networks.where(arm=PLAIN)
    less = lab.lead(*(plain.where(test=test)["right"] for test in (PLAIN, CHANNELS)))
    return lab.at_least(less, POINT, "as trained - channels permuted in points")


@question.claim("A 1.2", "a network that is as accurate with permuted pixels", arms=(PLAIN, PIXELS))
def geometry(networks: Records) -> Verdict:
    """The spatial dimensions have a natural geometry, which channels have not: to permute pixels in
    training and test costs a convolutional network accuracy, a point or more."""
    what = "as they are - pixels permuted in points"
    return lab.at_least(lead(networks, PLAIN, PIXELS), POINT, what)


@question.table
def accuracies(networks: Records) -> lab.Rows:
    """Test accuracy in %"""
    for (arm, test), runs in networks.by("arm", "test").items():
        yield {"trained": arm, "tested": test, **lab.estimate(runs["accuracy"]).columns(".1f")}


@question.figure(6, 3.4)
def orders(figure: Figure, networks: Records) -> None:
    """Test accuracy by what is permuted in training and in the test; a dot a network."""
    axes = figure.subplots()
    found = networks.by("arm", "test", of="accuracy")
    for place, ((arm, _), accuracy) in enumerate(found.items()):
        axes.plot([place] * len(accuracy), accuracy, "o", color=f"C{ARMS.index(arm)}")
    names = [a if a == t else f"{a}, tested:\n{t}" for a, t in found]
    names = [name.replace(" permuted", "\npermuted") for name in names]
    axes.set_xticks(range(len(found)), names, fontsize=8)
    axes.set(ylabel="test accuracy, %", ylim=(0, 100))


main = lab.command(question)

if __name__ == "__main__":
    main()
