"""A small convolution for every algorithm and rank it serves; the loops that `vmap` replaces."""

import functools
from dataclasses import dataclass, replace

import jax
import numpy as np

from cnnlab import ops
from cnnlab.ops.algorithms import REGISTRY
from cnnlab.ops.problem import Problem, describe

# Sums of F(4, 3) and of Fourier transforms pass through larger numbers than the result.
COARSE = {"winograd", "native_winograd", "fft", "fft_overlap_add"}


# These tests compile much and compute little: code that is not optimised is made sooner.
QUICK = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 12):
    QUICK["xla_cpu_use_fusion_emitters"] = False
compiled = functools.partial(jax.jit, compiler_options=QUICK)


def tolerance(name):
    size = 1e-4 if name in COARSE else 1e-5
    return {"rtol": size, "atol": 3 * size}


@dataclass(frozen=True)
class Small:
    """One algorithm's convolution: with groups, stride and uneven padding where it serves them."""

    name: str
    rank: int

    def __str__(self):
        return f"{self.name}-{self.rank}d"

    @property
    def kernel_size(self):
        if self.name == "pointwise":
            return (1,) * self.rank
        return (3,) * self.rank if "winograd" in self.name else (3, 2, 2)[: self.rank]

    @property
    def options(self):
        if "winograd" in self.name:
            return {"padding": ((2, 1),) * self.rank}
        stride = (2, 1, 1)[: self.rank]
        if self.name == "pointwise":
            return {"stride": stride}
        return {"stride": stride, "padding": ((2, 1),) * self.rank, "groups": 2}

    @property
    def problem(self) -> Problem:
        return self.at((5, 4, 3)[: self.rank])

    def at(self, spatial, batch=2, channels=None, dtype=np.float32):
        channels = channels or ((8, 16) if self.name == "native_winograd" else (4, 6))
        groups = self.options.get("groups", 1)
        kernel = (*self.kernel_size, channels[0] // groups, channels[1])
        shape = (batch, *spatial, channels[0])
        return describe(shape, kernel, **self.options, dtype=dtype)

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
    return REGISTRY[small.name].refusal(problem) is None


def served(dtype=np.float32):
    """Every algorithm with every rank it serves."""
    small = [Small(name, rank) for name in REGISTRY for rank in (1, 2, 3)]
    return [s for s in small if serves(s, dtype)]


# Of the algorithms that serve sequences.
NAMES = [small.name for small in served() if small.rank == 1]


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
