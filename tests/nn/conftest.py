"""Plain references, and inputs that cost no compilation."""

import itertools

import equinox as eqx
import jax
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(1234)


@pytest.fixture
def normal(rng):
    """`normal(*shape)`: float32 normal numbers."""
    return lambda *shape: jax.device_put(rng.standard_normal(shape).astype(np.float32))


@eqx.filter_jit
def _run(layer, *args, **kwargs):
    return layer(*args, **kwargs)


@pytest.fixture
def run():
    """`run(layer, *args)`: the layer under jit, which compiles faster than op by op."""
    return _run


@pytest.fixture
def make(normal, getkey):
    """`make(cls, *args, **kwargs)`: a layer with normal weights and biases.

    NumPy's numbers, because XLA would compile one random draw for every shape; and biases that are
    not zero, where a missing one would not be noticed.
    """

    def _make(cls, *args, **kwargs):
        layer = cls(*args, kernel_init="zeros", key=getkey(), **kwargs)
        fill = lambda a: normal(*a.shape) if eqx.is_array(a) else a
        return jax.tree.map(fill, layer)

    return _make


def _conv_loop(x, kernel, stride, pads, dilation, groups):
    """B eq. 10.8 written out, in float64: one output position and one tap at a time."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rank = kernel.ndim - 2
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    window, (c_in, c_out) = kernel.shape[:rank], kernel.shape[rank:]
    out = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(x.shape[1:-1], window, dilation, stride, strict=True)
    ]
    y = np.zeros((len(x), *out, c_out))
    for o in itertools.product(*map(range, out)):
        for t in itertools.product(*map(range, window)):
            at = tuple(i * s + j * d for i, s, j, d in zip(o, stride, t, dilation, strict=True))
            for g in range(groups):
                ins = slice(g * c_in, (g + 1) * c_in)
                outs = slice(g * c_out // groups, (g + 1) * c_out // groups)
                y[(slice(None), *o, outs)] += x[(slice(None), *at, ins)] @ kernel[t][:, outs]
    return y


def _same(spatial, kernel_size, stride, dilation):
    """The padding for ceil(n / s) outputs, the extra element of an odd total at the end."""
    pads = []
    for n, k, s, d in zip(spatial, kernel_size, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        pads.append((total // 2, total - total // 2))
    return pads


@pytest.fixture
def reference_conv():
    """`reference_conv(layer, x)`: what a `Conv` computes, by loops."""

    def reference(layer, x):
        n = layer.num_spatial_dims
        pads = {
            "SAME": _same(x.shape[1:-1], layer.kernel_size, layer.stride, layer.dilation),
            "VALID": [(0, 0)] * n,
            "CAUSAL": [((layer.kernel_size[0] - 1) * layer.dilation[0], 0)],
        }.get(layer.padding, layer.padding)
        if isinstance(pads, int):
            pads = [(pads, pads)] * n
        pads = [(p, p) if isinstance(p, int) else p for p in pads]
        y = _conv_loop(x, layer.weight, layer.stride, pads, layer.dilation, layer.groups)
        return y if layer.bias is None else y + np.asarray(layer.bias, np.float64)

    return reference
