"""Long convolutions position by position: from tiles and from states, beside the plain sum."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from cnnlab import nn
from cnnlab.bench.timing import interleaved, median
from cnnlab.files import write_figure
from cnnlab.nn.filters import Hyena
from cnnlab.nn.memory import Memory

TILES, STATES, PLAIN = "tiles (Hyena)", "states (S4D)", "plain sum"
ROUTES = TILES, STATES, PLAIN
# The plain sum of a long sequence takes minutes: of each part of it, so many steps are timed.
PARTS, SAMPLE = 16, 64

Case = Mapping[str, Mapping[str, float]]


def measure(length: int, channels: int, seconds: float, seed: int) -> Case:
    """By route the `seconds` that all positions of one sequence take, one after another, and the
    largest `error` beside what the layer gives of the whole, relative to the largest output."""
    *keys, x_key = jr.split(jr.key(seed), 3)
    x = jr.normal(x_key, (length, channels))
    hyena = nn.LongConv1d(channels, filter=functools.partial(Hyena, span=length), key=keys[0])
    s4d = nn.LongConv1d(channels, key=keys[1])
    run: dict[str, Callable[[], Array]] = {
        TILES: functools.partial(_stepped, hyena.memory(length), x),
        STATES: functools.partial(_stepped, s4d.memory(length), x),
    }
    kernel = hyena.filter.kernel(length).at[0].add(hyena.skip)
    count, part = min(SAMPLE, length // PARTS), length // PARTS
    firsts = [part * i + (part - count) // 2 for i in range(PARTS)]
    run[PLAIN] = lambda: jnp.stack([_plain(kernel, x, first, count) for first in firsts])

    expected = {TILES: eqx.filter_jit(hyena)(x), STATES: eqx.filter_jit(s4d)(x)}
    expected[PLAIN] = jnp.stack([expected[TILES][i : i + count] for i in firsts])
    errors = {
        name: float(jnp.abs(f() - expected[name]).max() / jnp.abs(expected[name]).max())
        for name, f in run.items()
    }
    times = {n: median(t) for n, t in interleaved(run, seconds=seconds, warm=True).items()}
    times[PLAIN] *= part / count
    return {name: {"seconds": times[name], "error": errors[name]} for name in ROUTES}


@eqx.filter_jit
def _stepped(memory: Memory, x: Float[Array, "n c"]) -> Float[Array, "n c"]:
    zeros = lambda a: jnp.zeros(a.shape, a.dtype)
    carry = jax.tree.map(zeros, jax.eval_shape(lambda x: memory.start(lambda x: x, x)[0], x[:1]))
    return lax.scan(lambda carry, x: memory.step(carry, x), carry, x)[1]


@functools.partial(jax.jit, static_argnums=(2, 3))
def _plain(kernel: Array, x: Array, first: int, count: int) -> Float[Array, "count c"]:
    """Outputs from `first` on, each a sum over all that was before."""
    size = first + count
    past = jnp.pad(x[:first], ((0, count), (0, 0)))
    taps = jnp.pad(kernel[:size][::-1], ((0, size), (0, 0)))

    def step(past: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        t, new = now
        past = lax.dynamic_update_slice_in_dim(past, new[None], t, 0)
        weights = lax.dynamic_slice_in_dim(taps, size - 1 - t, size, 0)
        return past, (past * weights).sum(0)

    return lax.scan(step, past, (jnp.arange(first, size), x[first:size]))[1]


def markdown(machine: Mapping[str, Any], cases: Mapping[int, Case], channels: int) -> str:
    """A table of all lengths."""
    head = [*(f"{name}, us a position" for name in ROUTES), "plain/tiles", "error of tiles, states"]
    rows = [["length", *head], ["---:"] * (1 + len(head))]
    for n, case in cases.items():
        each = [f"{1e6 * case[name]['seconds'] / n:.3g}" for name in ROUTES]
        ratio = f"{case[PLAIN]['seconds'] / case[TILES]['seconds']:.3g}"
        errors = ", ".join(f"{case[name]['error']:.1e}" for name in (TILES, STATES))
        rows.append([f"{n:,}", *each, ratio, errors])
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        f"# Long convolutions position by position\n\n{machine['cores']} cores, "
        f"{machine['processor']}; one sequence of {channels} channels, float32, from its first "
        f"position to its last; medians. Of the plain sum {SAMPLE} steps in each sixteenth of a "
        f"sequence were timed.\n\n{table}\n"
    )


def figure(cases: Mapping[int, Case], path: Path) -> Path:
    """Time a position against length."""
    drawn = Figure(figsize=(5, 4), layout="constrained")
    axes = drawn.subplots()
    for name in ROUTES:
        each = [1e6 * case[name]["seconds"] / n for n, case in cases.items()]
        axes.plot(list(cases), each, marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("length")
    axes.set_ylabel("microseconds a position")
    axes.grid(alpha=0.3)
    axes.legend()
    write_figure(path, drawn)
    return path
