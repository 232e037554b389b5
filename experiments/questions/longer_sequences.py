"""Does a model work at lengths beyond those it was trained at? (arXiv:2302.10866, 2206.11893)"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.data import recall
from cnnlab.lab import Cells, Count, Positive, Records, Rows, Sizes, Verdict
from cnnlab.models import Classifier, ConvHead, SequenceModel

FILTERS = ("hyena", "s4d")
VOCABULARY, PAIRS = 16, 4
GUESSED = 1 / PAIRS  # one of the values that the sequence has

question = lab.Question(
    "longer_sequences",
    "Does a model that was trained at one length work at 16 times that length?",
    note="The task is associative recall of pairs that come again and again: the answer is never "
    "far away, and what is asked of a model at a greater length is that the rest does not disturb "
    "it. A kernel from the network of Hyena is asked at positions that it has never seen. All are "
    "trained with one learning rate.",
)


@question.measure(full={"length": 128, "seeds": 8, "steps": 600})
def measure(
    cells: Cells,
    *,
    seed: int,
    length: Annotated[Count, "of the sequences in training"] = 64,
    factors: Annotated[Sizes, "lengths of the test over that of training"] = (1, 4, 16),
    width: Annotated[Count, "channels of the model"] = 64,
    depth: Annotated[Count, "gated blocks"] = 2,
    steps: Annotated[Count, "of training"] = 400,
    batch_size: Annotated[Count, "sequences a step"] = 32,
    lr: Annotated[Positive, "of AdamW, at its highest"] = 0.005,
    seeds: Annotated[Count, "models of each kind"] = 3,
) -> dict[str, Any]:
    """Each model is trained once, and tested at every length."""

    def tested(filter: str, seed: int) -> list[dict[str, float | int]]:
        made = functools.partial(recall, vocabulary=VOCABULARY, pairs=PAIRS, val_fraction=0)
        data = made(length=length, train_size=steps * batch_size, test_size=1, seed=seed)
        model = make(filter, length, width, depth, jr.key(seed))
        fitted = lab.fit_tokens(model, data, steps=steps, batch_size=batch_size, lr=lr, seed=seed)
        test = lambda k: made(length=k * length, train_size=1, test_size=20, seed=seed).test
        return [{"factor": k, "accuracy": lab.token_accuracy(fitted, test(k))} for k in factors]

    several = range(seed, seed + seeds)
    found = cells.records("tested", tested, filter=FILTERS, seed=several)
    return {"length": length, "factors": list(factors), "tests": found}


def make(filter: str, length: int, width: int, depth: int, key: PRNGKeyArray) -> Classifier:
    """A gated model of tokens with scores at every position."""
    made = {
        # Smooth kernels, which stay as large as they are: nothing of a sequence is too long ago.
        "hyena": functools.partial(nn.filters.Hyena, span=length, rate=1.0, fast=1.0, slow=5.0),
        "s4d": functools.partial(nn.filters.S4D, modes=8, step=(1 / length, 0.1)),
    }[filter]
    first, second = jr.split(key)
    body = SequenceModel(
        (length,), width=width, depth=depth, filter=made, vocabulary=VOCABULARY, key=first
    )
    return Classifier(body, ConvHead(body.out_shape, VOCABULARY, pool="none", key=second))


def accuracy(tests: Records, filter: str, factor: int) -> Sequence[float]:
    return tests.where(filter=filter, factor=factor)["accuracy"]


@question.learnt
def trained(tests: Records, factors: Sequence[int]) -> dict[str, Verdict]:
    arms = {f: lab.estimate(accuracy(tests, f, factors[0])) for f in FILTERS}
    return lab.beats(arms, 2 * GUESSED, "twice guessing")


@question.answer
def answer(tests: Records, factors: Sequence[int], length: int) -> str:
    share = lambda f, k: f"{100 * np.mean(accuracy(tests, f, k)):.1f} %"
    of = lambda k: ", ".join(f"{f} {share(f, k)}" for f in FILTERS)
    return (
        f"Recalled at {length} tokens, the length of training: {of(factors[0])}; at "
        f"{factors[-1] * length}: {of(factors[-1])}."
    )


@question.claim("arXiv:2302.10866, 4.1", "a filter with which less than 90 % is recalled")
def learnt(tests: Records, factors: Sequence[int]) -> Verdict:
    """At the length of training the model recalls."""
    of = lambda f: lab.estimate(accuracy(tests, f, factors[0]))
    return lab.all_of(lab.at_least(of(f), 0.9, f"{f}: accuracy") for f in FILTERS)


@question.claim("arXiv:2206.11893, 3", "a filter with which 2 points or more are lost")
def longer(tests: Records, factors: Sequence[int]) -> Verdict:
    """A filter that has a kernel of any length works at any length."""

    def lost(f: str) -> Verdict:
        there, here = accuracy(tests, f, factors[-1]), accuracy(tests, f, factors[0])
        what = f"{f}: accuracy at {factors[-1]} times the length less at {factors[0]}"
        return lab.at_least(lab.paired(there, here), -0.02, what)

    return lab.all_of(map(lost, FILTERS))


@question.table
def lengths(tests: Records, factors: Sequence[int], length: int) -> Rows:
    """Accuracy in % of what is asked, by filter and length of the test"""
    for f in FILTERS:
        mean = lambda k, f=f: f"{100 * np.mean(accuracy(tests, f, k)):.1f}"
        yield {"filter": f, **{f"n = {k * length}": mean(k) for k in factors}}


@question.figure(4.5, 3.2)
def beyond(figure: Figure, tests: Records, length: int, factors: Sequence[int]) -> None:
    """The share that is recalled against the length of the test, from that of training (left) on;
    mean, lowest and highest of the seeds."""
    axes = figure.subplots()
    for f in FILTERS:
        found = tests.where(filter=f).by("factor", of="accuracy")
        at = {length * factor: values for factor, values in found.items()}
        lab.curve(axes, at, spread="range", label=f)
    lab.log_axes(axes, x=[length * factor for factor in factors])
    axes.set(xlabel="length of the test", ylabel="share recalled")
    axes.legend()


main = lab.command(question)

if __name__ == "__main__":
    main()
