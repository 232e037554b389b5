"""A signal in one of k patches of dimension d: how many examples do convolutional, locally
connected and fully connected nets need, and by which powers of k and d do these grow?
(arXiv:2403.15707)"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from experiments.sample_efficiency.nets import Training
from experiments.sample_efficiency.search import (
    REACH,
    needed_by_seeds,
    sizes_needed,
    steps_error,
    widened,
)
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Estimate, Positive, Records, Rows, Verdict

Twos = Annotated[Sequence[int], "list of at least 2 different whole numbers >= 2"]
Share = Annotated[float, "number above 0.5 to below 1"]
Repeats = Annotated[Mapping[str, Count], "mapping of conv, local, fc"]
NETS = {"conv": "convolutional", "local": "locally connected", "fc": "fully connected"}
COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc": "tab:red"}
REPEATS = {"conv": 8, "local": 2, "fc": 1}
LINES = {"k": "k growing", "d": "d growing", "both": "both growing alike"}
PRODUCTS = {"conv": "nkd,d->nk", "local": "nkd,kd->nk", "fc": "nkd,hkd->nh"}
# Where a search begins, which decides only how long it takes.
START = {
    "conv": lambda k, d: 4 * (k + d),
    "local": lambda k, d: 8 * k * d,
    "fc": lambda k, d: 8 * k * k * d,
}

question = lab.Question(
    "dynamic_signal",
    "A signal in one of k patches of dimension d: how many examples does each kind of net need?",
    note="The Dynamic Signal Distribution (arXiv:2403.15707): k patches of d numbers from "
    "N(0, sigma^2); to one of them, at random, y w is added, w a unit vector and y the label, 1 or "
    "-1. All three nets are sums of soft thresholds of inner products, as the paper's are: of each "
    "patch with one vector (convolutional) or with a vector of its own (locally connected), or of "
    "the whole input with several vectors (fully connected). The paper's bounds, O~(k + d), "
    "Omega(k d) and O~(k (k + d)), Omega(k^2 d), are up to constants and logarithms, for k and d "
    "large enough: the exponents of a small grid, below, neither prove nor refute them. Intervals "
    "are over seeds, and include a step of the grid of sizes.",
)


@question.check
def check(patches: Sequence[int], dimensions: Sequence[int]) -> None:
    """Both grow, and alike."""
    steps = lambda values: [b / a for a, b in itertools.pairwise(values)]
    if steps(patches) != steps(dimensions) or min(steps(patches)) <= 1:
        raise ConfigError(
            f"dimensions: expected to grow by the same factors as patches, {list(patches)}, got "
            f"{list(dimensions)}"
        )


@question.measure(
    full={"seeds": 12, "per_octave": 16},
)
def measure(
    cells: Cells,
    *,
    seed: int,
    patches: Annotated[Twos, "k, with the first d and along the diagonal"] = (8, 16, 32),
    dimensions: Annotated[Twos, "d, of each patch; likewise"] = (4, 8, 16),
    noise: Annotated[Positive, "sigma, of each number; the signal has norm 1"] = 0.2,
    target: Annotated[Share, "test accuracy to reach"] = 0.98,
    seeds: Annotated[Count, "searches for each net, k and d"] = 3,
    repeats: Annotated[Repeats, "training sets and weights behind an accuracy"] = REPEATS,
    test_size: Annotated[Count, "test examples behind an accuracy"] = 8000,
    per_octave: Annotated[Count, "sizes of training sets between one and its double"] = 8,
    width: Annotated[Count, "vectors of the fully connected net, over k"] = 2,
    scale_at_start: Annotated[Positive, "of the vectors, over that of LeCun"] = 0.1,
    batch_size: Annotated[Count, "examples in a step"] = 64,
    epochs: Annotated[Count, "passes over the training set"] = 20,
    least_steps: Annotated[Count, "where the training set is small"] = 1000,
    step: Annotated[Positive, "of SGD, over the sharpness at the start"] = 1.0,
    momentum: Annotated[float, "number from 0 to below 1", "of SGD"] = 0.9,
) -> dict[str, Any]:
    """A search for each net, number of patches and dimension."""
    plan = Training(batch_size, epochs, least_steps, step, momentum, adam_step=0)

    def search(k: int, d: int, net: str) -> list[dict[str, Any]]:
        def draw(stream: int, *sizes: int) -> tuple[ArraySplit, ...]:
            return tuple(
                signals(stream, part, n, k=k, d=d, noise=noise) for part, n in enumerate(sizes)
            )

        make = lambda key: build(net, k, d, width=width, scale=scale_at_start, key=key)
        how = {"start": START[net](k, d), "repeats": repeats[net], "test_size": test_size}
        several = range(seed, seed + seeds)
        return sizes_needed(
            draw, make, plan, several, targets=[target], per_octave=per_octave, **how
        )

    k, d = patches[0], dimensions[0]
    lines = [(n, d) for n in patches] + [(k, n) for n in dimensions]
    found = Records()
    for k, d in dict.fromkeys([*lines, *zip(patches, dimensions, strict=True)]):
        # The fully connected net is not asked along the diagonal: it needs by far the most.
        nets = list(NETS) if (k, d) in lines else ["conv", "local"]
        found += cells.records("search", search, k=[k], d=[d], net=nets)
    best = cells.records("best", lambda k: best_accuracy(k, noise, seed), k=patches)
    of = lambda run: {key: run[key] for key in ("net", "k", "d", "seed")}
    return {
        "needed": [{**of(run), "n": run["sizes"][str(target)]} for run in found],
        "best": best,
        "per_octave": per_octave,
        "target": target,
    }


class Thresholds(eqx.Module):
    """Soft thresholds `relu(z - b) - relu(-z - b)` of inner products z, and their sum: the local
    signal adaptivity of the paper, each b learned. It begins at 0, where all is linear."""

    vectors: Array
    threshold: Array
    net: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "n k d"]) -> Float[Array, " n"]:
        z = jnp.einsum(PRODUCTS[self.net], x, self.vectors)
        b = jnp.abs(self.threshold)
        return (jax.nn.relu(z - b) - jax.nn.relu(-z - b)).sum(-1)


def build(net: str, k: int, d: int, *, width: int, scale: float, key: PRNGKeyArray) -> Thresholds:
    """One of the nets, its vectors Gaussian: a fully connected one with `width * k` of them."""
    shape = {"conv": (d,), "local": (k, d), "fc": (width * k, k, d)}[net]
    fan_in = k * d if net == "fc" else d
    vectors = scale / math.sqrt(fan_in) * jr.normal(key, shape)
    return Thresholds(vectors, jnp.zeros({"conv": (), "local": k, "fc": width * k}[net]), net)


def signals(stream: int, part: int, n: int, *, k: int, d: int, noise: float) -> ArraySplit:
    """Examples `(k, d)` of the task, in units of the noise; a stream has a signal of its own."""
    signal = np.random.default_rng([stream]).standard_normal(d)
    signal /= noise * np.linalg.norm(signal)
    rng = np.random.default_rng([stream, part])
    x, label = rng.standard_normal((n, k, d), np.float32), rng.integers(2, size=n)
    x[np.arange(n), rng.integers(k, size=n)] += np.outer(2 * label - 1, signal)
    return ArraySplit(x, label.astype(np.int32))


def best_accuracy(k: int, noise: float, seed: int, n: int = 100_000) -> float:
    """Of who knows the signal and asks which label is likelier, on n examples."""
    z = np.random.default_rng([seed, k]).standard_normal((n, k))
    z[:, 0] += 1 / noise  # the products with the signal, of label 1
    return float((np.logaddexp.reduce(z / noise, 1) > np.logaddexp.reduce(-z / noise, 1)).mean())


def along(needed: Records, net: str, line: str) -> Records:
    """The searches of a net with growing k, with growing d, or along the diagonal."""
    k, d = min(needed["k"]), min(needed["d"])
    on = {
        "k": lambda row: row["d"] == d,
        "d": lambda row: row["k"] == k,
        "both": lambda row: row["k"] * d == row["d"] * k,
    }
    return needed.where(on[line], net=net)


def at_least(n: int | None, net: str, k: int, d: int) -> float:
    """What a search found; of one without an end the last size, which was not enough."""
    return n or REACH * START[net](k, d)


def slopes(needed: Records, net: str, line: str) -> list[float]:
    """By seed, the power by which n grows along a line; of a search without an end as if the last
    size that was tried had been enough."""
    found, axis = along(needed, net, line), "k" if line == "both" else line
    size = lambda row: at_least(row["n"], net, row["k"], row["d"])
    return [
        lab.slope(logs(of[axis]), logs([size(row) for row in of])).mean
        for of in found.by("seed").values()
    ]


def error(needed: Records, net: str, line: str, per_octave: int) -> float:
    """How far a step of the grid of sizes can have moved a slope; without end where a search had
    none."""
    found = along(needed, net, line)
    if None in found["n"]:
        return math.inf
    return steps_error(logs(found["k" if line == "both" else line]), per_octave)


def exponent(needed: Records, net: str, line: str, per_octave: int) -> Estimate:
    """By which power n grows along a line, over seeds, and a step of the grid of sizes."""
    found = lab.estimate(slopes(needed, net, line))
    return widened(found, error(needed, net, line, per_octave))


def logs(values: Sequence[float]) -> list[float]:
    return np.log(values).tolist()


@question.answer
def answer(needed: Records, per_octave: int) -> str:
    found = lambda net, line: exponent(needed, net, line, per_octave)
    more = lambda of: "" if math.isfinite(of.low) else " or more"
    power = lambda net, line: f"{line}^{(of := found(net, line)).mean:.2f}{more(of)}"
    grows = lambda net: f"{power(net, 'k')} and {power(net, 'd')}, {NETS[net]}"
    return f"As {'; '.join(map(grows, NETS))}."


@question.claim(
    "arXiv:2403.15707", "a ratio of n that does not grow with k and d, both growing alike"
)
def sharing(needed: Records, per_octave: int) -> Verdict:
    """The larger the task, the more sharing weights saves: what a locally connected net needs, over
    what a convolutional one does, grows as k and d do (the paper: Omega(k d) over O~(k + d))."""
    pair = ("local", "conv")
    more = lab.paired(*(slopes(needed, net, "both") for net in pair))
    steps = sum(error(needed, net, "both", per_octave) for net in pair)
    what = "exponent of the ratio of n, locally connected over convolutional, both growing alike"
    return lab.at_least(widened(more, steps), 0, what)


@question.claim("arXiv:2403.15707", "a k and a d with the other order, in the mean of log n")
def order(needed: Records) -> Verdict:
    """Looking at patches saves examples, and sharing weights saves more: fully connected, locally
    connected, convolutional nets, in this order."""
    verdicts = []
    for (k, d), found in needed.by("k", "d").items():
        for (less, few), (more, many) in itertools.pairwise(found.by("net", of="n").items()):
            many = [at_least(n, more, k, d) for n in many]
            ratio = [math.log(b / a) for a, b in zip(few, many, strict=True) if a]
            what = f"k = {k}, d = {d}: log of the ratio of n, {NETS[more]} over {NETS[less]}"
            verdicts.append(lab.at_least(lab.estimate(ratio), 0, what))
    return lab.all_of(verdicts)


@question.table
def sizes(needed: Records, best: Records, target: float) -> Rows:
    """Training examples to reach the target: mean ± standard deviation (seeds)"""
    for (k, d), found in needed.by("k", "d").items():
        n = {NETS[net]: needed_by_seeds(of) for net, of in found.by("net", of="n").items()}
        limit = f"{best.where(k=k)['best'][0]:.1%}"
        yield {"k": k, "d": d, "target": f"{target:.0%}", "best there is": limit} | n


@question.table
def powers(needed: Records, per_octave: int) -> Rows:
    """Exponents of n [95 % interval over seeds, and a step of the grid of sizes]"""
    for net, name in NETS.items():
        lines = [line for line in LINES if net != "fc" or line != "both"]
        found = {LINES[line]: str(exponent(needed, net, line, per_octave)) for line in lines}
        yield {"net": name, **found}


@question.figure(9, 3.8)
def samples_needed(figure: Figure, needed: Records) -> None:
    """Examples n to reach the accuracy, with growing k and with growing d: a dot a search, the line
    their mean."""
    for axes, line in zip(lab.panels(figure, 2, sharey=True), ("k", "d"), strict=True):
        for net, name in NETS.items():
            found = reached(along(needed, net, line))
            axes.plot(found[line], found["n"], ".", color=COLOURS[net], alpha=0.4)
            lab.curve(axes, found.by(line, of="n"), color=COLOURS[net], label=name)
        lab.log_axes(axes, x=sorted({*needed[line]}))
        axes.set(yscale="log", xlabel=line, title=LINES[line])
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("training examples n")
    figure.axes[0].legend(fontsize=8)


def reached(needed: Records) -> Records:
    """The searches that had an end."""
    return needed.where(lambda row: row["n"] is not None)


main = lab.command(question)

if __name__ == "__main__":
    main()
