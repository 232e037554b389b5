"""The whole convolution as a matrix."""

import jax.numpy as jnp
import pytest
from primitive_cases import PLAIN, changed

from cnnlab import ops
from cnnlab.ops.algorithms.toeplitz import TOEPLITZ


def test_costs():
    # (8 * 8 * 6) x (8 * 8 * 4) entries.
    assert TOEPLITZ.multiply_adds(PLAIN) == 2 * 384 * 256
    assert TOEPLITZ.extra_memory(PLAIN) == 384 * 256 * 4


def test_refused_above_a_size():
    assert TOEPLITZ.refusal(changed(PLAIN, spatial=(32, 32), out=(32, 32))) == (
        "its matrix would be 6,144 x 4,096, 25,165,824 entries of 16,777,216 allowed"
    )
    shape, kernel = (64, 64, 8), (3, 3, 8, 8)
    assert TOEPLITZ.name not in ops.algorithms(shape, kernel)
    with pytest.raises(ValueError, match=r"^algorithm: 'toeplitz' cannot .* 32,768 x 32,768"):
        ops.conv(jnp.zeros(shape), jnp.zeros(kernel), algorithm=TOEPLITZ.name)
