"""A layer: what it says of its shapes, its gradients, batches, errors, and arrays."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.test_util import check_grads

from cnnlab.models import named_arrays, with_arrays
from cnnlab.train.step import scores


def run(layer, x):
    return scores(layer[0], x, layer[1], key=jr.key(2))[0]


def numbers(shape):
    return jr.normal(jr.key(1), shape)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_shapes(layer, shape):
    """A batch leads, and the layer knows its output's shape, where it says it."""
    found = run(layer, numbers((2, *shape))).shape
    assert found[0] == 2
    if hasattr(layer[0], "output_shape"):
        assert found[1:] == tuple(layer[0].output_shape(shape))
    if hasattr(layer[0], "multiply_adds"):
        assert layer[0].multiply_adds(shape) >= 0


def test_batches_and_vmap(layer, shape):
    """An example's output is its own: alone, in a batch, under vmap and jit."""
    layer = (eqx.nn.inference_mode(layer[0]), layer[1])
    x = numbers((3, *shape))
    whole = run(layer, x)
    close(jnp.concatenate([run(layer, x[i : i + 1]) for i in range(3)]), whole)
    close(jax.vmap(lambda one: run(layer, one[None])[0])(x), whole)
    close(eqx.filter_jit(run)(layer, x), whole)


def test_gradients(layer, shape):
    """Those of input and arrays are the slopes of small differences."""
    params, static = eqx.partition(eqx.nn.inference_mode(layer[0]), eqx.is_inexact_array)
    output = lambda params, x: run((eqx.combine(params, static), layer[1]), x)
    check_grads(output, (params, numbers((1, *shape))), 1, ["rev"], atol=2e-2, rtol=2e-2)


def test_errors(layer, shape):
    """What it can't take is refused in one line, where it is refused."""
    for wrong in ((2, *shape[:-1], shape[-1] + 1), (2,)):
        try:
            run(layer, numbers(wrong))
        except (ValueError, TypeError) as error:
            assert str(error).strip() and "\n" not in str(error).strip(), str(error)


def test_resume(layer, shape):
    """All that it computes with is in arrays that have a name: a checkpoint brings it back."""
    layer = (eqx.nn.inference_mode(layer[0]), layer[1])
    x = numbers((2, *shape))
    arrays = {name: np.asarray(value) for name, value in named_arrays(*layer).items()}
    emptied, state = with_arrays(*layer, {name: np.zeros_like(a) for name, a in arrays.items()})
    np.testing.assert_array_equal(run(with_arrays(emptied, state, arrays), x), run(layer, x))
