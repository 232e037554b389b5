"""A small convolution for every algorithm and rank it serves; the loops that `vmap` replaces.

Nothing here knows an algorithm by name: what is registered is tested, by what it says of itself.
"""

import functools
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from cnnlab import ops
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, Problem, choice, describe
from cnnlab.ops.algorithms import tiles
from cnnlab.ops.native import ENGINE

# These tests compile much and compute little: code that is not optimised is made sooner.
QUICK = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 12):
    QUICK["xla_cpu_use_fusion_emitters"] = False
compiled = functools.partial(jax.jit, compiler_options=QUICK)

# 2 examples of 8 x 8 in 4 channels, a 3 x 3 kernel to 6: 64 outputs each of 9 taps and 4 channels.
PLAIN = describe((2, 8, 8, 4), (3, 3, 4, 6))
PLAIN_PRODUCTS = 2 * 64 * 6 * 9 * 4

needs_engine = pytest.mark.skipif(
    ENGINE.refusal() is not None, reason=f"no native engine: {ENGINE.refusal()}"
)


def changed(problem, **changes):
    """A problem with other fields, or another window; nothing else is resolved again."""
    names = {
        "kernel_size": "size",
        "stride": "stride",
        "padding": "padding",
        "dilation": "dilation",
    }
    window = {names[k]: v for k, v in changes.items() if k in names}
    fields = {k: v for k, v in changes.items() if k not in names}
    return replace(problem, window=replace(problem.window, **window), **fields)


GEOMETRY = ("stride", "padding", "dilation", "groups")


def known(name):
    """The algorithm of a name, or for `auto` XLA's own, which serves the same."""
    return REGISTRY.get(name, REGISTRY[REFERENCE])


def tolerance(name):
    size = known(name).tolerance(np.float32)
    return {"rtol": size, "atol": 3 * size}


@dataclass(frozen=True)
class Small:
    """One algorithm's example: with groups, stride and uneven padding where it serves them."""

    name: str
    rank: int

    def __str__(self):
        return f"{self.name}-{self.rank}d"

    @property
    def algorithm(self):
        return known(self.name)

    @property
    def problem(self) -> Problem:
        return self.algorithm.example(self.rank)

    @property
    def options(self):
        return {name: getattr(self.problem, name) for name in GEOMETRY}

    def at(self, spatial=None, batch=2, channels=None, dtype=np.float32):
        """The same of other sizes."""
        p = self.problem
        spatial = spatial or p.spatial
        c_in, c_out = channels or (p.in_channels, p.out_channels)
        kernel = (*p.kernel_size, c_in // p.groups, c_out)
        return describe((batch, *spatial, c_in), kernel, **self.options, dtype=dtype)

    @property
    def call(self):
        return functools.partial(ops.conv, **self.options, algorithm=self.name)

    def passes(self, x, kernel, dy):
        """The result and both gradients."""
        y, pull = jax.vjp(self.call, x, kernel)
        return y, *pull(dy)


def serves(small, dtype):
    """Whether the algorithm serves its convolution in a type."""
    problem = replace(small.problem, dtype=np.dtype(dtype))
    return small.algorithm.refusal(problem) is None


def served(dtype=np.float32):
    """Every algorithm with every rank it serves."""
    small = [Small(name, rank) for name in REGISTRY for rank in (1, 2, 3)]
    return [s for s in small if s.problem is not None and serves(s, dtype)]


def serving(problems):
    """Names of the algorithms that serve all of some problems."""
    return [n for n, a in REGISTRY.items() if not any(a.refusal(p) for p in problems)]


# Of the algorithms that serve sequences.
NAMES = [small.name for small in served() if small.rank == 1]


def predicted(problem, *, engine=False):
    """What is taken for each pass on the CPU where nothing was measured."""

    def names():
        able = choice.serving(problem)
        return [choice.predicted(able, problem, which, "cpu") for which in PASSES]

    if engine:
        return names()
    with ENGINE.disabled():
        return names()


def in_tiles(monkeypatch, size):
    """From now on algorithms that cut the batch take `size` examples at a time."""
    monkeypatch.setattr(tiles, "tile_size", lambda batch, *_: min(batch, size))


def arrays(problem, seed=0, dtype=None):
    """x, kernel and dy of a problem."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype or problem.dtype)
    shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
    # `jnp.asarray` would compile a program for every shape, device_put compiles none.
    return tuple(jax.device_put(rng.standard_normal(s).astype(dtype)) for s in shapes)


def plain(problem):
    """XLA's convolution, nothing of cnnlab in it."""
    letters = "DHW"[3 - problem.rank :]
    return functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=problem.stride,
        padding=problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=problem.groups,
    )


def primitives(jaxpr):
    """Names of the primitives of a jaxpr and of those inside it, in order, repeated."""
    found = []
    for equation in jaxpr.eqns:
        found.append(equation.primitive.name)
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            found += primitives(inner) if hasattr(inner, "eqns") else []
    return found


SIZES = (2, 3)


def mapped(f, levels):
    """`f` under one `vmap` for each level, the first outermost."""
    for axes in reversed(levels):
        f = jax.vmap(f, axes)
    return f


def mapped_arrays(shapes, levels, seed=0):
    """Arguments for `mapped`: an axis of `SIZES[level]` wherever a level maps one."""
    rng = np.random.default_rng(seed)
    made = []
    for i, shape in enumerate(shapes):
        shape = list(shape)
        for size, axes in reversed(list(zip(SIZES, levels, strict=False))):
            if axes[i] is not None:
                place = axes[i] if axes[i] >= 0 else len(shape) + 1 + axes[i]
                shape.insert(place, size)
        made.append(rng.standard_normal(shape).astype(np.float32))
    return made


def looped(f, levels, values, level=0):
    """What `mapped` is by definition: a loop for every level."""
    if level == len(levels):
        return f(*values)
    rows = []
    for i in range(SIZES[level]):
        picked = [
            v if axis is None else np.take(v, i, axis)
            for v, axis in zip(values, levels[level], strict=True)
        ]
        rows.append(looped(f, levels, picked, level + 1))
    return [np.stack(column) for column in zip(*rows, strict=True)]
