"""What the algorithms say of themselves: products and memory by formula, and why they refuse."""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import ops
from cnnlab.ops.algorithms import REGISTRY
from cnnlab.ops.problem import describe

# 2 examples of 8 x 8 in 4 channels, a 3 x 3 kernel to 6: products, bytes beside arguments and
# result. Direct: 2 * 64 outputs * 6 channels * 9 taps * 4 channels.
PLAIN = describe((2, 8, 8, 4), (3, 3, 4, 6))
DIRECT = 2 * 64 * 6 * 9 * 4
COSTS = {
    "lax": (DIRECT, 0),
    # 9 * 4 numbers for each of the 64 patches of each example.
    "im2col": (DIRECT, 2 * 64 * 36 * 4),
    # F(4, 3): 2 x 2 tiles of 6 x 6 positions; transformed input and output, and the kernel.
    "winograd": (2 * 4 * 36 * 4 * 6, 2 * 2 * (4 * 36 * 6) * 4 + 36 * 4 * 6 * 4),
    # F(2, 3): 4 x 4 tiles of 4 x 4 positions.
    "winograd_f2": (2 * 16 * 16 * 4 * 6, 2 * 2 * (16 * 16 * 6) * 4 + 16 * 4 * 6 * 4),
    # Transforms of 10 x 10 (9 are needed), 831 products each: 2 * 4, 4 * 6 and 2 * 6 of them;
    # three products for each of 51 complex numbers, 2 * 6 * 4 times.
    "fft": (44 * 831 + 2 * 6 * 4 * 3 * 51, 44 * 100 * 4),
    "fft_overlap_add": (44 * 831 + 2 * 6 * 4 * 3 * 51, 44 * 100 * 4),
    # (8 * 8 * 6) x (8 * 8 * 4) entries.
    "toeplitz": (2 * 384 * 256, 384 * 256 * 4),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs_of_an_example_by_hand(name):
    products, bytes_ = COSTS[name]
    assert REGISTRY[name].multiply_adds(PLAIN) == products
    assert REGISTRY[name].extra_memory(PLAIN) == bytes_


def test_costs_that_need_another_example():
    one = describe((2, 8, 8, 4), (1, 1, 4, 6), stride=2, padding="VALID")
    assert REGISTRY["pointwise"].multiply_adds(one) == 2 * 16 * 4 * 6
    assert REGISTRY["pointwise"].extra_memory(one) == 0
    # 1000 entries in 18 blocks of 56, which 9 taps make 64 long: 37 transforms of 480 products.
    long = describe((1, 1000, 1), (9, 1, 1))
    assert REGISTRY["fft_overlap_add"].multiply_adds(long) == 37 * 480 + 18 * 3 * 33
    assert REGISTRY["fft_overlap_add"].extra_memory(long) == 37 * 64 * 4
    depthwise = describe((2, 8, 8, 4), (3, 3, 1, 4), groups=4)
    assert REGISTRY["taps"].multiply_adds(depthwise) == 2 * 64 * 4 * 9
    for name in REGISTRY.keys() - {"pointwise"}:  # 16-bit numbers need no more than others
        half = dataclasses.replace(PLAIN, dtype=np.dtype(jnp.bfloat16))
        assert REGISTRY[name].extra_memory(half) <= REGISTRY[name].extra_memory(PLAIN)


REFUSALS = [
    ("pointwise", {}, "the kernel size is (3, 3), not 1 along every axis"),
    ("pointwise", {"kernel_size": (1, 1), "groups": 2}, "it has 2 groups, not 1"),
    ("pointwise", {"kernel_size": (1, 1)}, "it is padded by ((1, 1), (1, 1))"),
    ("taps", {"kernel_size": (17, 16)}, "its kernel has 272 taps, of 256 allowed"),
    ("winograd", {"kernel_size": (3, 3, 3)}, "it has 3 spatial axes, not 1 or 2"),
    ("winograd", {"kernel_size": (3, 5)}, "the kernel size is (3, 5), not 3 along every axis"),
    ("winograd_f2", {"stride": (1, 2)}, "it has stride (1, 2) and dilation (1, 1), not 1"),
    ("winograd", {"dilation": (2, 2)}, "it has stride (1, 1) and dilation (2, 2), not 1"),
    ("winograd_f2", {"groups": 2}, "it has 2 groups, not 1"),
    (
        "winograd",
        {"dtype": np.dtype(np.int32)},
        "its fractions need floating-point numbers, not int32",
    ),
    (
        "fft",
        {"dtype": np.dtype(np.int32)},
        "Fourier transforms need floating-point numbers, not int32",
    ),
    (
        "toeplitz",
        {"spatial": (32, 32), "out": (32, 32)},
        "its matrix would be 6,144 x 4,096, 25,165,824 entries of 16,777,216 allowed",
    ),
]


@pytest.mark.parametrize(("name", "changes", "says"), REFUSALS)
def test_refusals_say_why(name, changes, says):
    assert REGISTRY[name].refusal(dataclasses.replace(PLAIN, **changes)) == says


def test_a_refused_algorithm_is_one_line():
    x, kernel = jnp.ones((1, 5, 2)), jnp.ones((3, 2, 2))
    line = "algorithm: 'winograd' cannot serve this convolution: it has stride (2,) and dilation"
    with pytest.raises(ValueError, match=re.escape(line)):
        ops.conv(x, kernel, stride=2, algorithm="winograd")
    assert "winograd" not in ops.algorithms(x.shape, kernel.shape, stride=2)
    assert "winograd" in ops.algorithms(x.shape, kernel.shape)
