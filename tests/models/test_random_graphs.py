"""Receptive fields of random programs with branches against gradients: `CNNLAB_GRAPHS=1000` for as
many (6 without it).

Weights are positive and inputs spikes, so no dependence cancels and every maximum finds it. What
is left out is what `receptive_field` says it can't follow: another step on each of two branches.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.analysis import receptive_field
from cnnlab.analysis.fields import measured_field

COUNT = int(os.environ.get("CNNLAB_GRAPHS", "6"))
CHANNELS = 2
LONGEST = {1: 160, 2: 28}  # of an input
FARTHEST = {1: 4, 2: 2}  # inputs between two neighbours on any branch


class Graph:
    """A program of random operations on earlier results, always the same for a seed."""

    def __init__(self, seed):
        self.seed = seed
        self.rank = 1 + (seed % 4 == 3)
        self.shape = (LONGEST[self.rank],) * self.rank + (CHANNELS,)

    def __call__(self, x):
        self.rng = np.random.default_rng(self.seed)
        values = [(x, (1,) * self.rank)]  # and how far apart its neighbours are in the input
        for _ in range(self.rng.integers(2, 9 if self.rank == 1 else 4)):
            make = self.rng.choice([self.conv, self.pool, self.crop, self.elementwise, self.join])
            values.append(make(values))
        value, step = self.one(values[-2:])
        for other, own in values[-2:]:  # all that is left, joined
            if own == step and other is not value:
                value = self.together(value, other)
        return value

    def one(self, values):
        return values[self.rng.integers(len(values))]

    def ints(self, low, high):
        return tuple(int(n) for n in self.rng.integers(low, high, self.rank))

    def strides(self, step):
        strides = self.ints(1, 3)
        fits = all(s * t <= FARTHEST[self.rank] for s, t in zip(strides, step, strict=True))
        return strides if fits else (1,) * self.rank

    def conv(self, values):
        """By `lax`, channels last or first, with groups, dilation, uneven and negative padding."""
        x, step = self.one(values)
        taps, dilation = self.ints(1, 5), self.ints(1, 3)
        strides = self.strides(step)
        pads = list(zip(self.ints(-1, 4), self.ints(-1, 4), strict=True))
        space = "HW"[: self.rank]
        groups = int(self.rng.choice([1, x.shape[-1]]))
        kernel = jnp.ones((*taps, x.shape[-1] // groups, CHANNELS if groups == 1 else groups))
        first = bool(self.rng.integers(2))
        axes = f"NC{space}" if first else f"N{space}C"
        y = lax.conv_general_dilated(
            jnp.moveaxis(x, -1, 1) if first else x, kernel, strides, pads,
            rhs_dilation=dilation, feature_group_count=groups,
            dimension_numbers=(axes, f"{space}IO", axes),
        )  # fmt: skip
        y = jnp.moveaxis(y, 1, -1) if first else y
        return y / kernel.size, tuple(s * t for s, t in zip(strides, step, strict=True))

    def pool(self, values):
        x, step = self.one(values)
        window, strides = (1, *self.ints(1, 4), 1), self.strides(step)
        along = (window, (1, *strides, 1), self.rng.choice(["SAME", "VALID"]))
        largest = self.rng.integers(2)
        y = lax.reduce_window(x, *((-jnp.inf, lax.max) if largest else (0.0, lax.add)), *along)
        return y, tuple(s * t for s, t in zip(strides, step, strict=True))

    def crop(self, values):
        """With a stride, too; or zeros around."""
        x, step = self.one(values)
        if self.rng.integers(2):
            return jnp.pad(x, [(0, 0), *[(n, 1) for n in self.ints(0, 3)], (0, 0)]), step
        strides = self.strides(step)
        cut = tuple(slice(n, None, s) for n, s in zip(self.ints(0, 3), strides, strict=True))
        return x[:, *cut], tuple(s * t for s, t in zip(strides, step, strict=True))

    def elementwise(self, values):
        x, step = self.one(values)
        mix = jnp.ones((x.shape[-1], CHANNELS))
        again = jax.checkpoint(lambda x: jax.nn.relu(x) @ mix)
        by = [jax.jit(jax.nn.gelu), jax.vmap(jnp.sqrt), again, lambda x: x / x.shape[-1] + 1]
        return by[self.rng.integers(len(by))](x), step

    def join(self, values):
        """Branches with one step, from anywhere in the program."""
        x, step = self.one(values)
        y, _ = self.one([v for v in values if v[1] == step])
        return self.together(x, y), step

    def together(self, x, y):
        """Cut to what both have, at the front or at the end of an axis; added, multiplied, or with
        the channels of both."""
        for axis in range(1, 1 + self.rank):
            n = min(x.shape[axis], y.shape[axis])
            begin = lambda v, n=n, axis=axis: (v.shape[axis] - n) * int(self.rng.integers(2))
            x, y = (lax.slice_in_dim(v, at, at + n, axis=axis) for v in (x, y) for at in [begin(v)])
        if x.shape != y.shape or self.rng.integers(2):
            return jnp.concatenate([x, y], -1)
        return jnp.sqrt(x * y + 1) if self.rng.integers(2) else x + y


@pytest.mark.parametrize("seed", range(COUNT))
def test_no_graph_differs_from_its_gradients(seed):
    graph = Graph(seed)
    out = jax.eval_shape(graph, jax.ShapeDtypeStruct((1, *graph.shape), jnp.float32)).shape
    middle = tuple(n // 2 for n in out[1:-1])
    found = receptive_field(graph, jax.ShapeDtypeStruct((1, *graph.shape), jnp.float32))
    expected = measured_field(lambda _, xs: graph(xs), None, graph.shape, middle)
    for (first, last), n in zip(expected.interval(middle), graph.shape, strict=False):
        assert first > 0 and last < n - 2  # no border is in the way
    assert found == expected
