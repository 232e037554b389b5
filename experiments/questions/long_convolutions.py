"""Is a long convolution as equivariant and as local as a short one? (A 3.1 and 2.3, of A 6.3)"""

import functools
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.analysis.equivariance import equivariance_errors
from cnnlab.lab import Cells, Count, Records, Rows, Verdict

SHORT, LONG = "3 taps", ("explicit", "s4d", "hyena")
# Relative to the largest number: what rounding leaves of exact zeros.
ROUNDING = 1e-5

question = lab.Question(
    "long_convolutions",
    "Is a convolution as long as its input as equivariant and as local as a short one?",
    note="A long convolution shares its weights as a short one does, but what it sees of a finite "
    "sequence depends on where it stands: with a kernel as long as the sequence every output but "
    "the last one sees padding. It commutes with a translation as long as nothing leaves the "
    "sequence.",
)


@question.measure(full={"length": 4096, "seeds": 5})
def measure(
    cells: Cells,
    *,
    seed: int,
    length: Annotated[Count, "positions of a sequence"] = 256,
    channels: Annotated[Count, "of every layer"] = 4,
    seeds: Annotated[Count, "layers of each kind, with other random weights"] = 3,
) -> dict[str, Any]:
    """What happens when the input moves, and which inputs an output sees."""
    look = lambda layer, seed: looked_at(
        make(layer, length, channels, seed), (1, length, channels), seed
    )
    several = range(seed, seed + seeds)
    found = cells.records("looks", look, layer=(SHORT, *LONG), seed=several)
    return {"length": length, "looks": found}


def make(layer: str, length: int, channels: int, seed: int) -> Any:
    """A causal depthwise convolution with random weights."""
    key = jr.key(seed)
    if layer == SHORT:
        return nn.DepthwiseConv1d(channels, 3, padding="CAUSAL", use_bias=False, key=key)
    filters = {
        "explicit": functools.partial(nn.filters.Explicit, max_length=length),
        "s4d": functools.partial(nn.filters.S4D, step=(1 / length, 0.1)),
        "hyena": functools.partial(nn.filters.Hyena, span=length),
    }
    return nn.LongConv1d(channels, filter=filters[layer], key=key)


def looked_at(layer: Any, shape: tuple[int, int, int], seed: int) -> dict[str, float | int]:
    """Of one layer, `x` in the first half of a sequence moved by a quarter, and all around; of its
    last output the inputs that it depends on, and how many of the nearest have 90 % of that."""
    length, by = shape[1], shape[1] // 4
    x = jr.normal(jr.key(seed), shape)
    run = eqx.filter_jit(layer)
    inside = x * (jnp.arange(length) < length // 2)[:, None]
    there, moved = run(inside), run(jnp.roll(inside, by, 1))
    off = jnp.abs(moved[:, by:] - there[:, :-by]).max() + jnp.abs(moved[:, :by]).max()
    around = equivariance_errors(run, x, (by,))
    last: Array = jax.grad(lambda x: run(x)[0, -1].sum())(x)[0]
    seen = np.abs(np.asarray(last)).max(-1)[::-1]
    energy = np.cumsum(np.square(np.asarray(last, np.float64)).sum(-1)[::-1])
    return {
        "moved": float(off / jnp.abs(there).max()),
        "around": around.whole,
        "wrong": float((around.at > ROUNDING).mean()),
        "reach": int(np.flatnonzero(seen > ROUNDING * seen.max()).max()) + 1,
        "most": int(np.searchsorted(energy, 0.9 * energy[-1])) + 1,
    }


@question.answer
def answer(looks: Records, length: int) -> str:
    of = lambda name, column: max(looks.where(layer=name)[column])
    off = max(of(name, "moved") for name in LONG)
    share = min(min(looks.where(layer=name)["wrong"]) for name in LONG)
    most = "all" if share == 1 else f"at least {100 * share:.0f} % of the"
    return (
        f"As equivariant while all of the input stays in view (off by {off:.1g} of the largest "
        f"output), but not on a circle, where {most} outputs are off; and not local: an output "
        f"sees up to {max(of(name, 'reach') for name in LONG)} of {length} inputs, one of {SHORT} "
        f"{of(SHORT, 'reach')}."
    )


@question.claim(
    "A 3.1", "a layer for which f(T x) is not T f(x), beyond rounding, with all of x in view"
)
def equivariant(looks: Records) -> Verdict:
    """A convolution commutes with translations, one as long as the sequence, too."""
    worst = lambda name: lab.at_most(
        max(looks.where(layer=name)["moved"]), ROUNDING, f"{name}: |f(T x) - T f(x)|"
    )
    return lab.all_of(map(worst, (SHORT, *LONG)))


@question.claim(
    "A 3.1, of long convolutions",
    "a short one, of whose outputs on a circle 5 % or more are not moved as the input, or a long "
    "one, of whose outputs half are",
)
def on_a_circle(looks: Records) -> Verdict:
    """What the padding spoils is as wide as the kernel: on a circle a border of the outputs of a
    short convolution, and most of those of one as long as its input."""
    short, wrong = max(looks.where(layer=SHORT)["wrong"]), "{}: share of outputs".format
    least = {name: min(looks.where(layer=name)["wrong"]) for name in LONG}
    return lab.all_of(
        lab.at_most(short, 0.05, wrong(SHORT)),
        *(lab.at_least(share, 0.5, wrong(name)) for name, share in least.items()),
    )


@question.claim(
    "A 2.3, of long convolutions",
    "a short one that sees half of the inputs, or a long one that sees fewer",
)
def local(looks: Records, length: int) -> Verdict:
    """That a layer is local says of a short convolution that an output depends on a few inputs
    near it; one as long as its input has all of them within its radius."""
    short, seen = max(looks.where(layer=SHORT)["reach"]), "{}: inputs seen".format
    least = {name: min(looks.where(layer=name)["reach"]) for name in LONG}
    return lab.all_of(
        lab.at_most(short, length // 2, seen(SHORT)),
        *(lab.at_least(inputs, length // 2, seen(name)) for name, inputs in least.items()),
    )


@question.table
def reaches(looks: Records) -> Rows:
    """Of the last output: how many inputs it depends on, and of how many nearest it has 90 %"""
    for name, of in looks.by("layer").items():
        yield {
            "layer": name,
            "inputs seen": max(of["reach"]),
            "90 % of it": f"{np.mean(of['most']):.0f}",
            "moved within": f"{max(of['moved']):.1e}",
            "moved around": f"{max(of['around']):.2f}",
            "outputs off": f"{100 * np.mean(of['wrong']):.0f} %",
        }


@question.figure(4.5, 3.2)
def seen(figure: Figure, looks: Records, length: int) -> None:
    """How many inputs the last output depends on (dashes), and of how many nearest ones it has 90 %
    (dots); the grey line is the length of the sequence."""
    axes = figure.subplots()
    for column, mark in (("most", "o"), ("reach", "_")):
        lab.curve(
            axes, looks.by("layer", of=column), mark, label={"most": "90 %", "reach": "all"}[column]
        )
    axes.axhline(length, color="grey", lw=0.8, zorder=0)
    axes.margins(x=0.1)
    axes.set(ylabel="inputs", yscale="log")
    axes.legend()


main = lab.command(question)

if __name__ == "__main__":
    main()
