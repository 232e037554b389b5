"""Wrong things handed to the public functions and layers: a ValueError or TypeError of one line."""

import inspect

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import config as checking

from cnnlab import nn, ops

X, KERNEL = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 2, 4))
CALLS = {
    "algorithms": (X.shape, KERNEL.shape),
    "avg_pool": (X, 2),
    "conv": (X, KERNEL),
    "conv_transpose": (jnp.ones((1, 5, 5, 4)), KERNEL),
    "describe": (X.shape, KERNEL.shape),
    "fft_conv": (X, KERNEL),
    "fold": (jnp.ones((1, 5, 5, 3, 3, 2)), (5, 5)),
    "global_pool": (X, "avg"),
    "local_conv": (X, jnp.ones((5, 5, 18, 4))),
    "max_pool": (X, 2),
    "output_shape": ((5, 5), (3, 3)),
    "pad": (X, (1, 1)),
    "resolve_padding": ("SAME", (5, 5), (3, 3)),
    "to_tuple": ("stride", 3, 2),
    "toeplitz_matrix": (KERNEL, (5, 5, 2)),
    "transpose_shape": ((5, 5), (3, 3)),
    "unfold": (X, (3, 3)),
    "unvect": (jnp.ones(4), (2, 2)),
    "vect": (X,),
}
LAYERS = [
    nn.AvgPool2d(2),
    nn.Conv2d(2, 4, 3, key=jr.key(0)),
    nn.ConvTranspose2d(2, 4, 3, key=jr.key(0)),
    nn.GlobalPool("avg"),
    nn.GroupNorm(2, 1),
    nn.LayerNorm(2),
    nn.Linear(2, 4, key=jr.key(0)),
    nn.LocallyConnected2d(2, 4, 3, (5, 5), key=jr.key(0)),
    nn.MaxPool2d(2),
    nn.SeparableConv2d(2, 4, 3, key=jr.key(0)),
]
NO_ARRAYS = [5, None, "x", [], [1.0], {}, object(), True, float("nan")]
WRONG = [*NO_ARRAYS, [[1, 2]], -1, jnp.ones(()), np.ones((2, 3)), np.array(["a"]), X > 0]


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch):
    """Without the tests' own checks of shapes, which would refuse first."""
    monkeypatch.setattr(checking, "jaxtyping_disable", True)


@pytest.mark.parametrize("name", CALLS)
def test_functions_refuse_in_one_line(name):
    function, good = getattr(ops, name), CALLS[name]
    refused = 0
    for i in range(len(good)):
        for wrong in WRONG:
            try:
                function(*good[:i], wrong, *good[i + 1 :])
            except (TypeError, ValueError) as error:
                refused += 1
                assert len(str(error).splitlines()) == 1 and len(str(error)) < 400
    assert refused >= len(good)


def test_every_function_is_asked():
    functions = {name for name in ops.__all__ if inspect.isfunction(getattr(ops, name))}
    assert functions - {"accumulation_dtype"} == {*CALLS}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("wrong", NO_ARRAYS, ids=lambda wrong: type(wrong).__name__)
def test_layers_take_arrays_only(layer, wrong):
    with pytest.raises(TypeError, match=r"^x: expected an array \(\*dims"):
        layer(wrong)


def test_the_message_gives_the_shape():
    with pytest.raises(TypeError, match=r"^kernel: expected an array \(\*window, .*\), got 'x'$"):
        ops.conv(X, kernel="x")
    with pytest.raises(ValueError, match=r"^window: .*, got Array\(\[\[1\., 1\.\], \[1\., 1\.\]\]"):
        ops.max_pool(X, jnp.ones((2, 2)))


def test_optional_arrays_may_be_none():
    assert ops.conv(X, KERNEL, bias=None).shape == (1, 5, 5, 4)
    with pytest.raises(TypeError, match=r"^bias: expected an array \(one axis\), got 3$"):
        ops.conv(X, KERNEL, bias=3)
