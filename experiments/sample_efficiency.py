"""Examples needed on the task of B 10.2, by nets that share weights and nets that do not."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, between, estimate
from experiments import _sample_efficiency_data as found
from experiments._question import Claim, Question, entry
from experiments._sample_efficiency_data import NETS, TARGET, exponent

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

CLAIMS = (
    Claim(
        "conv",
        "B 10.2",
        "A simple convolutional net learns the task to 95 % with O(1) samples.",
        "an exponent of n(d) above 0.3: n would double with each tenfold d, or grow faster",
    ),
    Claim(
        "fc",
        "B 10.2",
        "A fully connected net trained by an orthogonally equivariant algorithm, SGD from Gaussian "
        "weights, requires on the order of d^2 samples.",
        "an exponent of n(d) outside 1.5 to 2.5, so that another whole power is nearer",
    ),
    Claim(
        "gap",
        "B 10.2",
        "The fully connected net needs more samples than the convolutional one by a factor that "
        "grows with d.",
        "a ratio, of the same seed's two nets, whose exponent is not positive",
    ),
    Claim(
        "fits",
        "B 10.2",
        "A wide fully connected net can express what the convolutional net does: short of 95 % on "
        "test data, it fits the training data.",
        "a training accuracy below 99 % at the largest training sets that did not suffice",
    ),
    Claim(
        "sharing",
        "B 10.2, Problem 10.2.2",
        "The shared kernel is what makes O(1) samples enough: with squares as hard-wired, the same "
        "local windows and the same sums over halves, but a kernel for every position, n grows "
        "like d.",
        "an exponent of the locally connected net's n(d) outside 0.5 to 1.5",
    ),
    Claim(
        "adam",
        "B 10.2; Li, Zhang and Arora, arXiv:2010.08515",
        "Adam, which is equivariant only to permutations and sign changes of the coordinates, does "
        "not save the fully connected net: n grows at least like d.",
        "an exponent of n(d) below 1",
    ),
    Claim(
        "images",
        "arXiv:2010.08515, figure 1",
        "On Gaussian images labelled by which of two channels has the larger norm, a convolutional "
        "net is more accurate than a fully connected one at every number of samples.",
        "a number of samples at which the difference, over seeds, is not positive",
    ),
)


def check(cfg: "DictConfig") -> None:
    """The accuracy by which the claims are judged is among the targets."""
    from cnnlab.config import ConfigError

    if TARGET not in map(str, cfg.targets):
        raise ConfigError(f"targets: expected {TARGET} among them, got {list(cfg.targets)}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """A search for each net and dimension; then the images."""
    from experiments import _sample_efficiency as nets

    searches = {
        f"{net}, d = {d}": lambda net=net, d=d: nets.sizes_needed(net, d, cfg)
        for d in cfg.dimensions
        for net in NETS
    }
    images = {
        f"{net}, images": lambda net=net: nets.image_accuracy(net, cfg)
        for net in ("conv", "fc_sgd")
    }
    values = cells.all(searches | images)
    return {
        "targets": [str(target) for target in sorted(cfg.targets)],
        "image": list(cfg.image),
        "runs": [run for key in searches for run in values[key]],
        "images": [run for key in images for run in values[key]],
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Exponents by regression of log n on log d over all seeds."""
    exponents = {net: exponent(data, net, TARGET) for net in NETS}
    name = lambda net: f"exponent of n(d), {NETS[net]}{found.unreached(data, net, TARGET)}"
    fits = found.fits(data, "fc_sgd")
    return {
        "conv": at_most(exponents["conv"], 0.3, name("conv")),
        "fc": between(exponents["fc_sgd"], 1.5, 2.5, name("fc_sgd")),
        "gap": at_least(
            found.power(*found.ratios(data)),
            0,
            "exponent of the ratio of n, fully connected over convolutional",
        ),
        "fits": at_least(
            estimate(fits or [math.nan]), 0.99, "training accuracy just short of 95 % on test data"
        ),
        "sharing": between(exponents["local"], 0.5, 1.5, name("local")),
        "adam": at_least(exponents["fc_adam"], 1, name("fc_adam")),
        "images": all_of(
            *(
                at_least(margin, 0, f"n = {n}, convolutional minus fully connected")
                for n, margin in found.margins(data)
            )
        ),
    }


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """n over d in logarithms; accuracy over n at the largest d; accuracy on images."""
    from experiments import _sample_efficiency_figures as figures

    return {
        "samples_needed": figures.samples_needed(data, NETS, exponent),
        "learning_curves": figures.learning_curves(data, NETS),
        "images": figures.images(
            {net: found.by_size(data, net) for net in ("conv", "fc_sgd")}, NETS
        ),
    }


QUESTION = Question(
    name="sample_efficiency",
    title="How many examples does a convolutional net need, and how many one without its symmetry?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=found.tables,
    draw=draw,
    note=(
        "The task is sign(sum of squares of the first half of x minus that of the second), x from "
        "N(0, I_d). The paper behind it appeared at ICLR 2021, not, as the chapter's footnote has "
        "it, at ICML. The argument needs an algorithm that treats all rotations of the inputs "
        "alike, which Adam does not."
    ),
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
