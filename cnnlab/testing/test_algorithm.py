"""A convolution algorithm: its three passes are those of the defining sum, within its tolerance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_passes(algorithm, rank):
    """Output, gradient of the input and of the kernel, strided, padded and in groups."""
    problem = algorithm.example(rank)
    if problem is None:
        pytest.skip(f"it does not serve {rank} spatial axes")
    rng = np.random.default_rng(0)
    shapes = problem.x_shape, problem.kernel_shape, problem.y_shape
    x, kernel, dy = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    inputs = {"forward": (x, kernel), "input_gradient": (dy, kernel), "kernel_gradient": (x, dy)}
    for which, expected in zip(PASSES, convolution(x, kernel, dy, problem), strict=True):
        run = jax.jit(lambda a, b, which=which: algorithm.compute(which, a, b, problem))
        found = np.asarray(run(*map(jnp.asarray, inputs[which])))
        assert found.dtype == np.float32
        assert relative_error(found, expected) <= algorithm.tolerance(np.float32), which


def test_it_says_what_it_costs(algorithm):
    """Multiply-adds and memory, by formula, of a problem that it serves."""
    problem = next(filter(None, map(algorithm.example, (2, 1, 3))))
    assert algorithm.multiply_adds(problem) > 0
    assert algorithm.extra_memory(problem) >= 0
