"""Which filter remembers how far? Tokens repeated after a delay (arXiv:2302.10866, A 6.3)."""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, Integer, PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.data import copying
from cnnlab.lab import Cells, Count, Rates, Records, Rows, Verdict

FILTERS = ("explicit", "s4d", "hyena")
FARTHEST = "explicit, the longest"
GUESSED = 0.25  # four symbols, each as likely
MARGIN = 0.05  # of accuracy: "as far" is within it, and the intervals are to be as narrow
Lengths = Annotated[Sequence[int], "increasing list of whole numbers >= 16"]

question = lab.Question(
    "long_memory",
    "Which filter remembers how far?",
    note="The task is linear: the last four of n positions repeat the first four, so that a kernel "
    "with a single weight, n - 4 positions back, does it. One weight a position can be any such "
    "kernel; filters of few parameters are smooth, or decay, and have to make a delay of waves.",
)


@question.measure(full={"seeds": 18, "steps": 1000, "rates": [3e-3, 1e-2, 3e-2]})
def measure(
    cells: Cells,
    *,
    seed: int,
    lengths: Annotated[Lengths, "positions of a sequence"] = (32, 128, 512),
    channels: Annotated[Count, "of the convolution"] = 32,
    steps: Annotated[Count, "of training"] = 300,
    batch_size: Annotated[Count, "sequences a step"] = 16,
    rates: Annotated[Rates, "AdamW's: each network has the one that is best for it"] = (1e-2, 3e-2),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 8,
) -> dict[str, Any]:
    """The accuracy after training, of each filter at each length."""

    def accuracy(filter: str, length: int, seed: int, lr: float | None = None) -> float:
        sizes = {"train_size": steps * batch_size, "test_size": 200, "val_fraction": 0}
        data = copying(length=length, vocabulary=6, symbols=4, selective=False, seed=seed, **sizes)
        net = Net(6, channels, filters(length)[filter], jr.key(seed))
        lr = lr or rate(filter, length)
        fitted = lab.fit_tokens(net, data, steps=steps, batch_size=batch_size, lr=lr, seed=seed)
        return lab.token_accuracy(fitted, data.test)

    def rate(filter: str, length: int) -> float:
        """The best one, on sequences that no other network sees."""
        of = lambda lr: accuracy(filter, length, seed + 10_000, lr)
        return cells.get(f"rate: {filter}, {length}", lambda: lab.best_rate(rates, of))

    narrow = lambda found: (
        all(at(found, f, lengths[0]).narrow(MARGIN) for f in FILTERS)
        and all(behind(found, f, lengths[-1]).narrow(MARGIN) for f in FILTERS[1:])
    )
    several = {"first": seed, "least": seeds, "most": most_seeds}
    found = cells.seeds("accuracy", accuracy, narrow, **several, filter=FILTERS, length=lengths)
    return {"lengths": list(lengths), "remembered": found}


def filters(length: int) -> dict[str, Callable[..., nn.filters.Filter]]:
    """As long as the sequence; kernels of the sizes that fit it, under a window that leaves of what
    is farthest some of every channel."""
    return {
        "explicit": functools.partial(nn.filters.Explicit, max_length=length, squash=0.0),
        "s4d": functools.partial(nn.filters.S4D, step=(1 / length, 0.1)),
        "hyena": functools.partial(nn.filters.Hyena, span=length, fast=1.0, slow=5.0),
    }


class Net(eqx.Module):
    """An embedding, a long convolution, a linear layer to scores: what is between is linear."""

    embedding: nn.Embedding
    conv: nn.LongConv1d
    linear: nn.Linear

    def __init__(
        self, vocabulary: int, channels: int, filter: Callable[..., Any], key: PRNGKeyArray
    ) -> None:
        first, second, third = jr.split(key, 3)
        self.embedding = nn.Embedding(vocabulary, channels, key=first)
        self.conv = nn.LongConv1d(channels, filter=filter, key=second)
        self.linear = nn.Linear(channels, vocabulary, key=third)

    def __call__(self, x: Integer[Array, "b n"]) -> Float[Array, "b n v"]:
        return self.linear(self.conv(self.embedding(x)))


def at(remembered: Records, filter: str, length: int) -> lab.Estimate:
    return lab.estimate(remembered.where(filter=filter, length=length)["accuracy"])


def behind(remembered: Records, filter: str, length: int) -> lab.Estimate:
    """What a filter remembers more than one with a weight for each position, paired by seed."""
    of = lambda f: remembered.where(filter=f, length=length)["accuracy"]
    return lab.paired(of(filter), of("explicit"))


@question.learnt
def learnt(remembered: Records, lengths: Sequence[int]) -> dict[str, Verdict]:
    arms = {f: at(remembered, f, lengths[0]) for f in FILTERS}
    arms |= {FARTHEST: at(remembered, "explicit", lengths[-1])}
    return lab.beats(arms, 2 * GUESSED, "twice guessing")


@question.answer
def answer(remembered: Records, lengths: Sequence[int]) -> str:
    share = lambda f, n: f"{100 * at(remembered, f, n).mean:.1f} %"
    of = lambda n: ", ".join(f"{f} {share(f, n)}" for f in FILTERS)
    return (
        f"Share of the tokens that they repeat at length {lengths[0]}: {of(lengths[0])}; at "
        f"{lengths[-1]}: "
        f"{of(lengths[-1])}."
    )


@question.claim(
    "arXiv:2302.10866, 3.3",
    "a filter that does not repeat 95 % of the tokens of the shortest sequences",
    arms=FILTERS,
)
def near(remembered: Records, lengths: Sequence[int]) -> Verdict:
    """A long convolution of any of the filters learns a delay, read as: in as few steps as all have
    here."""
    each = (
        lab.at_least(at(remembered, f, lengths[0]), 0.95, f"{f}, n = {lengths[0]}") for f in FILTERS
    )
    return lab.all_of(each)


@question.claim("arXiv:2302.10866, 3.3", "a filter of few parameters 5 points or more behind")
def far(remembered: Records, lengths: Sequence[int]) -> Verdict:
    """Filters of a few parameters remember as far as one weight a position, read as: in as few
    steps as all have here."""
    lead = lambda f: lab.at_least(
        behind(remembered, f, lengths[-1]), -MARGIN, f"{f} - explicit, n = {lengths[-1]}"
    )
    return lab.all_of(map(lead, FILTERS[1:]))


@question.table
def accuracies(remembered: Records, lengths: Sequence[int]) -> Rows:
    """Accuracy in % of the tokens repeated, by filter and length"""
    for filter in FILTERS:
        numbers = {f"n = {n}": f"{100 * at(remembered, filter, n).mean:.1f}" for n in lengths}
        yield {"filter": filter, **numbers}


@question.figure(4.5, 3.2)
def memory(figure: Figure, remembered: Records, lengths: Sequence[int]) -> None:
    """The share of tokens repeated against the length; mean, lowest and highest of the seeds. The
    grey line is guessing."""
    axes = figure.subplots()
    for filter in FILTERS:
        found = remembered.where(filter=filter).by("length", of="accuracy")
        lab.curve(axes, found, spread="range", label=filter)
    axes.axhline(GUESSED, color="grey", lw=0.8)
    lab.log_axes(axes, x=lengths)
    axes.set(xlabel="length of the sequence", ylabel="share of tokens repeated", ylim=(0, 1.03))
    axes.legend(loc="lower left", fontsize=8)


main = lab.command(question)

if __name__ == "__main__":
    main()
