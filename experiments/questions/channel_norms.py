"""Li, Zhang and Arora's own experiment (arXiv:2010.08515, figure 1): which of two channels of an
image has the larger norm? (B 10.2)"""

import functools
import itertools
from typing import Annotated, Any

import equinox as eqx
import jax.random as jr
import numpy as np
from experiments.sample_efficiency import against_examples, plot_accuracies
from experiments.sample_efficiency.nets import Training, centred_squares
from experiments.sample_efficiency.search import Learners, percent, stacked
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.config import ConfigError
from cnnlab.data import Dataset
from cnnlab.data.embedded import quadratic_label
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Counts, Rates, Records, Rows, Verdict

Images = Float[np.ndarray, "n h w c"]
SIDE = 32
NETS = {"conv": "convolutional", "fc": "fully connected"}
PARTS = ("train", "val", "test")
INPUTS = {"gaussian": "Gaussian images", "real": "real images"}
COLOURS = {"conv": "tab:blue", "fc": "tab:red"}

question = lab.Question(
    "channel_norms",
    "Which of two channels has the larger norm: how accurate are nets after so many examples?",
    note="Images of 3 channels and 32x32 pixels. Convolutional: 3x3 to 10 channels, squares, 3x3 "
    "to 1 channel, the mean over positions. Fully connected: a hidden layer, squares, one output. "
    "The squares are centred, (x^2 - 1) / sqrt(2), which biases can undo: SGD learns faster so. "
    "Both by SGD with momentum, each at the rate that is best for it on validation examples. "
    "The paper's real images are CIFAR-10's (data=cifar10 takes them as they are). Where a set "
    "has one channel, as Fashion-MNIST, an image is three of its images, one a channel, with a "
    "border of zeros.",
)


@question.measure(
    groups={"data": "fashion_mnist"},
    full={"sizes": [500, 1000, 2000], "rates": [0.1, 0.5, 2.0], "seeds": 6},
)
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    sizes: Annotated[Counts, "examples to train with"] = (500, 2000),
    seeds: Annotated[Count, "training sets and initial weights"] = 3,
    channels: Annotated[Count, "of the first convolution"] = 10,
    hidden: Annotated[Count, "units of the fully connected net"] = 3 * SIDE * SIDE,
    rates: Annotated[Rates, "of SGD, over the sharpness at the start; each net's best"] = (
        0.5,
        2.0,
    ),
    momentum: Annotated[float, "number from 0 to below 1"] = 0.9,
    batch_size: Annotated[Count, "examples in a step"] = 64,
    epochs: Annotated[Count, "passes over the training set"] = 8,
    least_steps: Annotated[Count, "where the training set is small"] = 200,
    test_size: Annotated[Count, "test examples, and as many to choose the rate by"] = 2000,
) -> dict[str, Any]:
    """Each net's rate on validation examples; then its accuracies."""
    h, w, c = (*data.input_shape, 0, 0)[:3]
    if max(h, w) > SIDE or c not in (1, 3):
        given = "x".join(map(str, data.input_shape))
        raise ConfigError(
            f"data: expected images of at most {SIDE}x{SIDE}, 1 or 3 channels, got {given}"
        )

    draw = {"gaussian": gaussian, "real": functools.partial(real, data)}
    make = {
        "conv": functools.partial(convolutional, channels),
        "fc": functools.partial(fully_connected, hidden),
    }

    def learn(
        inputs: str, net: str, rate: float, seeds: Counts, sizes: Counts, held_out: str
    ) -> list[dict[str, Any]]:
        """For each seed the accuracies after so many examples, on a split that is held out."""
        plan = Training(batch_size, epochs, least_steps, rate, momentum, adam_step=0)
        splits = (
            stacked(draw[inputs](seed, part, n) for seed in seeds)
            for part, n in (("train", max(sizes)), (held_out, test_size))
        )
        learners = Learners(make[net], plan, seeds, tuple(itertools.chain(*splits)))
        for n in sizes:
            learners([n] * len(seeds))
        return [
            {"seed": seed, "n": n, "test": test, "training": training}
            for seed, tried in zip(seeds, learners.tried, strict=True)
            for n, test, training in tried
        ]

    def best(inputs: str, net: str) -> float:
        """The rate, by validation examples, over several seeds and all sizes: with one that is too
        high some trainings diverge."""
        others = range(seed + 10_000, seed + 10_000 + seeds)
        found = lambda rate: learn(inputs, net, rate, others, sizes, "val")
        return lab.best_rate(rates, lambda rate: sum(run["test"] for run in found(rate)))

    rate = cells.records("rate", best, inputs=INPUTS, net=NETS)
    several = range(seed, seed + seeds)

    def run(inputs: str, net: str) -> list[dict[str, Any]]:
        [chosen] = rate.where(inputs=inputs, net=net)["rate"]
        return learn(inputs, net, chosen, several, sizes, "test")

    return {"rates": rate, "accuracies": cells.records("accuracies", run, inputs=INPUTS, net=NETS)}


class Squares(eqx.Module):
    """A layer, squares, and a layer with one output, of which the mean is taken over positions,
    where there are any."""

    hidden: nn.Conv | nn.Linear
    readout: nn.Conv | nn.Linear

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, " b"]:
        x = x if isinstance(self.hidden, nn.Conv) else x.reshape(len(x), -1)
        return self.readout(centred_squares(self.hidden(x))).reshape(len(x), -1).mean(1)


def convolutional(channels: int, key: PRNGKeyArray) -> Squares:
    """3x3 to so many channels, squares, 3x3 to one channel, the mean over positions."""
    first, second = jr.split(key)
    conv = functools.partial(nn.Conv, 2, kernel_size=3, kernel_init="lecun_normal")
    hidden = conv(in_channels=3, out_channels=channels, key=first)
    return Squares(hidden, conv(in_channels=channels, out_channels=1, key=second))


def fully_connected(hidden: int, key: PRNGKeyArray) -> Squares:
    """So many hidden units, squares, one output."""
    first, second = jr.split(key)
    linear = lambda n_in, n_out, key: nn.Linear(n_in, n_out, kernel_init="lecun_normal", key=key)
    return Squares(linear(3 * SIDE * SIDE, hidden, first), linear(hidden, 1, second))


def gaussian(seed: int, part: str, n: int) -> ArraySplit:
    """Images of independent standard normal numbers."""
    rng = np.random.default_rng([seed, PARTS.index(part)])
    return labelled(rng.standard_normal((n, SIDE, SIDE, 3), np.float32))


def real(data: Dataset, seed: int, part: str, n: int) -> ArraySplit:
    """Random images of a split, normalised, in a border of zeros: of three channels as they are, or
    three of one channel as one."""
    split, (h, w, channels) = getattr(data, part), data.input_shape
    several = 3 // channels
    chosen = np.random.default_rng([seed, PARTS.index(part)]).integers(len(split), size=several * n)
    x = (split.take(chosen)[0] - data.mean) / data.std
    x = np.moveaxis(x.reshape(n, several, h, w, channels), 1, 3).reshape(n, h, w, 3)
    border = [((SIDE - size) // 2, SIDE - size - (SIDE - size) // 2) for size in (h, w)]
    return labelled(np.pad(x.astype(np.float32), [(0, 0), *border, (0, 0)]))


def labelled(x: Images) -> ArraySplit:
    """With class 1 where the first channel's norm is larger than the second's: the task of B 10.2,
    these two channels for halves."""
    return ArraySplit(x, quadratic_label(np.moveaxis(x[..., :2], -1, 1).reshape(len(x), -1)))


def ahead(accuracies: Records, inputs: str) -> Verdict:
    """By how much the convolutional net is, at every number of examples."""
    found = accuracies.where(inputs=inputs).pivot("n", "net", "test")
    margins = {n: lab.paired(of["conv"], of["fc"]) for n, of in found.items()}
    what = "n = {:,}, convolutional minus fully connected".format
    return lab.all_of(lab.at_least(margin, 0, what(n)) for n, margin in margins.items())


@question.learnt
def learnt(accuracies: Records) -> dict[str, Verdict]:
    """On the examples that it has seen, every network is better than chance: one whose training
    diverged has none of them right."""
    least = {inputs: 100 * min(of) for inputs, of in accuracies.by("inputs", of="training").items()}
    what = "{}: least of all accuracies on training examples, to beat chance".format
    return {inputs: lab.at_least(n, 50.0, what(INPUTS[inputs])) for inputs, n in least.items()}


REFUTED = "a number of samples at which the difference, over seeds, is not positive"


@question.answer
def answer(accuracies: Records) -> str:
    n = max(accuracies["n"])
    mean = lambda **of: (
        f"{lab.estimate(lab.percent(accuracies.where(n=n, **of)['test'])).mean:.0f} %"
    )
    both = lambda inputs: " and ".join(mean(inputs=inputs, net=net) for net in NETS)
    return (
        f"After {n:,} examples, the convolutional and the fully connected net: "
        f"{both('gaussian')} on Gaussian images, {both('real')} on real ones."
    )


@question.claim("arXiv:2010.08515, figure 1", REFUTED, arms=("gaussian",))
def gaussian_images(accuracies: Records) -> Verdict:
    """On Gaussian images, a convolutional net is more accurate than a fully connected one at every
    number of samples."""
    return ahead(accuracies, "gaussian")


@question.claim("arXiv:2010.08515, figure 1", REFUTED, arms=("real",))
def real_images(accuracies: Records) -> Verdict:
    """So it is on real images, although those are far from Gaussian."""
    return ahead(accuracies, "real")


@question.table
def by_size(accuracies: Records, rates: Records) -> Rows:
    """Accuracy in %: mean ± standard deviation (seeds)"""
    for (inputs, net, n), found in accuracies.by("inputs", "net", "n").items():
        of = {what: percent(found[what]) for what in ("test", "training")}
        [rate] = rates.where(inputs=inputs, net=net)["rate"]
        yield {"images": INPUTS[inputs], "net": NETS[net], "rate": rate, "examples": n, **of}


@question.figure(9, 3.8)
def curves(figure: Figure, accuracies: Records) -> None:
    """Test and training accuracy against the number n of examples: a dot a seed, the line their
    mean."""
    panels = lab.panels(figure, len(INPUTS), sharey=True)
    for axes, (inputs, name) in zip(panels, INPUTS.items(), strict=True):
        for net, found in accuracies.where(inputs=inputs).by("net").items():
            plot_accuracies(axes, found, NETS[net], COLOURS[net])
        against_examples(axes, name)
        lab.log_axes(axes, x=sorted({*accuracies["n"]}))


main = lab.command(question)

if __name__ == "__main__":
    main()
