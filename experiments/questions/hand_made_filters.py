"""Are learned filters better than hand-made ones? (A 3.5, B 10.1.2)"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import lab, models, nn
from cnnlab.data import Dataset
from cnnlab.lab import Cells, Count, Limit, Plan, Rates, Records, Study, Verdict

HAND_MADE, RANDOM, LEARNED = "hand-made, fixed", "random, fixed", "learned"
ARMS = (HAND_MADE, RANDOM, LEARNED)
NARROW = 0.5  # points: the intervals are to reach no further
POINT = 1.0

question = lab.Question(
    "hand_made_filters",
    "Are learned filters better than hand-made ones?",
    note="The first layer is the bank of chapter B's and Sobel's edges in four directions, both "
    "signs of each, chapter A's ridge in both, a mean and the image itself; or as many 3x3 "
    "filters at random, fixed or learned. All that follows it, a batch norm first, is learned in "
    "all networks.",
)


def bank() -> Float[np.ndarray, "k k 1 n"]:
    """The hand-made kernels, each of norm 1."""
    vertical = np.array([[1, 0, -1]] * 3)  # B eq. 10.2; its transpose is 10.3
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    diagonal = np.array([[2, 1, 0], [1, 0, -1], [0, -1, -2]])
    ridge = np.where(np.arange(9).reshape(3, 3) == 4, 8, -1)  # A 3.5
    edges = [vertical, vertical.T, sobel, sobel.T, diagonal, diagonal[:, ::-1], ridge]
    image = np.where(np.arange(9).reshape(3, 3) == 4, 1, 0)
    kernels = np.stack([*edges, *(-np.array(edges)), np.ones((3, 3)), image], -1)[:, :, None]
    return kernels / np.sqrt(np.square(kernels).sum((0, 1, 2)))


FILTERS = bank().shape[-1]


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "plan": [32, "M", 64, "M", 64], "seeds": 10, "limit_train": None, "steps": 1500,
        "rates": [3e-3, 1e-2],
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    plan: Annotated[Plan, "of what follows the first layer"] = (24, "M", 32),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 5,
    most_seeds: Annotated[Count, "but no more than these"] = 10,
    limit_train: Annotated[Limit, "training images"] = 8000,
    limit_eval: Annotated[Limit, "validation and test images"] = None,
    steps: Annotated[Count, "batches"] = 400,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = (3e-3, 1e-2),
) -> dict[str, Any]:
    """Which test images each network has right, and its first layer before and after training."""

    @functools.cache
    def study(arm: str) -> Study:
        settings = {
            "optimizer": "adam", "schedule": "onecycle", "steps": steps, "batch_size": batch_size,
            "limit_train": limit_train, "limit_eval": limit_eval,
        }  # fmt: skip
        own = {"data": data, "model": functools.partial(Net, plan=plan, arm=arm)}
        tuned = lambda: lab.tuned(settings, rates, seed=seed + 10_000, **own)
        return Study({**settings, "optimizer.lr": cells.get(f"rate: {arm}", tuned)}, **own)

    def tested(seed: int, arm: str) -> dict[str, Any]:
        before, after = study(arm).initial(seed), study(arm).train(seed)
        found = study(arm).evaluate(after)
        return {
            "right": lab.pack(found.predicted == found.label),
            "accuracy": 100 * found.accuracy,
            "likeness": [likeness(network[0].first.weight) for network in (before, after)],
            "filters": np.asarray(after.model.first.weight)[:, :, 0].round(4).tolist(),
        }

    narrow = lambda runs: all(lead(runs, LEARNED, arm).narrow(NARROW) for arm in ARMS[:-1])
    several = {"first": seed, "least": seeds, "most": most_seeds}
    baseline = lambda: lab.logistic_regression(study(LEARNED).data)
    return {
        "networks": cells.seeds("tested", tested, narrow, **several, arm=ARMS),
        "baseline": 100 * cells.get("logistic regression", baseline),
    }


class Net(eqx.nn.StatefulLayer):
    """A first layer that may be fixed, then a network of blocks."""

    first: nn.Conv2d
    norm: nn.BatchNorm
    pool: nn.MaxPool2d
    rest: models.Classifier
    fixed: bool = eqx.field(static=True)

    def __init__(
        self,
        in_shape: tuple[int, ...],
        classes: int,
        *,
        plan: Sequence[int | str],
        arm: str,
        key: PRNGKeyArray,
    ) -> None:
        first, second, third = jr.split(key, 3)
        self.first = nn.Conv2d(in_shape[-1], FILTERS, 3, use_bias=False, key=first)
        if arm == HAND_MADE:
            kernel = jnp.asarray(bank(), jnp.float32).repeat(in_shape[-1], 2)
            self.first = eqx.tree_at(lambda layer: layer.weight, self.first, kernel)
        self.fixed = arm != LEARNED
        self.norm, self.pool = nn.BatchNorm(FILTERS), nn.MaxPool2d(2, padding="SAME")
        shape = self.pool.output_shape((*in_shape[:-1], FILTERS))
        body = models.VGG(shape, plan, norm=nn.BatchNorm, key=second)
        self.rest = models.Classifier(body, models.LinearHead(body.out_shape, classes, key=third))

    def __call__(
        self, x: Float[Array, "b h w c"], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b k"], eqx.nn.State]:
        x = self.first(x)
        # What the weights are has no part in the gradient of what follows.
        x, state = self.norm(jax.lax.stop_gradient(x) if self.fixed else x, state)
        return self.rest(self.pool(jax.nn.relu(x)), state, key=key)


def likeness(weight: Float[Array, "k k c n"]) -> float:
    """The mean over filters of the largest cosine with a hand-made one."""
    of = np.asarray(weight, np.float64).mean(2).reshape(-1, weight.shape[-1])
    of = of / np.sqrt(np.square(of).sum(0))
    return float((bank().reshape(-1, FILTERS).T @ of).max(0).mean())


def lead(networks: Records, arm: str, over: str) -> lab.Estimate:
    """Points of accuracy by which one kind of network is ahead."""
    return lab.lead(*(networks.where(arm=one)["right"] for one in (arm, over)))


def ahead(networks: Records, arm: str, over: str, by: float = 0.0) -> Verdict:
    return lab.at_least(lead(networks, arm, over), by, f"{arm} - {over} in points")


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    found = {arm: lab.estimate(of) for arm, of in networks.by("arm", of="accuracy").items()}
    return lab.beats(found, baseline)


@question.answer
def answer(networks: Records) -> str:
    points = {arm: lab.estimate(of).mean for arm, of in networks.by("arm", of="accuracy").items()}
    named = {arm.replace(",", " and"): accuracy for arm, accuracy in points.items()}
    share = ", ".join(f"{accuracy:.1f} % where it is {arm}" for arm, accuracy in named.items())
    before, after = np.mean(networks.where(arm=LEARNED)["likeness"], 0)
    return (
        f"By their first layer, networks have right {share}; learning brings the filters' cosine "
        f"with the nearest hand-made one from {before:.2f} to {after:.2f}."
    )


@question.claim(
    "A 3.5, B 10.1.2", "hand-made ones that are ahead by a point", arms=(HAND_MADE, LEARNED)
)
def learned(networks: Records) -> Verdict:
    """Instead of manually designing kernels we learn them, read as: learned filters are not behind
    hand-made ones by a point or more."""
    return ahead(networks, LEARNED, HAND_MADE, -POINT)


@question.claim("A 3.5", "random ones that are ahead", arms=(RANDOM, LEARNED))
def training(networks: Records) -> Verdict:
    """Initialised randomly, then learned by gradient descent: learned filters are ahead of random
    ones that stay as they are."""
    return ahead(networks, LEARNED, RANDOM)


@question.claim("B 10.1.2", "random ones that are ahead", arms=(HAND_MADE, RANDOM))
def design(networks: Records) -> Verdict:
    """Kernels that detect edges are a design worth having: hand-made filters are ahead of random
    ones."""
    return ahead(networks, HAND_MADE, RANDOM)


@question.claim("B 10.1.2", "learned filters that are less like them", arms=(LEARNED,))
def detectors(networks: Records) -> Verdict:
    """What is learned are such feature detectors: training brings the filters closer to hand-made
    ones (the mean of the largest cosines)."""
    before, after = zip(*networks.where(arm=LEARNED)["likeness"], strict=True)
    what = "likeness of learned filters after - before training"
    return lab.at_least(lab.paired(after, before), 0.0, what)


@question.table
def accuracies(networks: Records) -> lab.Rows:
    """Test accuracy in %, and the mean over filters of the largest cosine with a hand-made one"""
    for arm, runs in networks.by("arm").items():
        before, after = np.mean(runs["likeness"], 0)
        yield {
            "first layer": arm, **lab.estimate(runs["accuracy"]).columns(".2f"),
            "likeness before": f"{before:.3f}", "after training": f"{after:.3f}",
        }  # fmt: skip


@question.figure(9, 2.2)
def filters(figure: Figure, networks: Records) -> None:
    """The first layer of one network of each kind: red is positive, blue negative."""
    grid = figure.subplots(len(ARMS), FILTERS)
    for row, arm in zip(grid, ARMS, strict=True):
        kernels = np.array(networks.where(arm=arm)["filters"][0])
        for axes, kernel in zip(row, np.moveaxis(kernels, -1, 0), strict=True):
            most = np.abs(kernel).max()
            lab.picture(axes, kernel, cmap="RdBu_r", vmin=-most, vmax=most)
        row[0].set_ylabel(arm.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=8)


main = lab.command(question)

if __name__ == "__main__":
    main()
