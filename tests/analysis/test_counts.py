"""Counts of a layer against loops and hand counts."""

import functools

import pytest

from cnnlab import nn
from cnnlab.analysis.counts import taps_inside, weights_and_biases, xla_multiply_adds


def test_leaves_of_a_layer_that_no_memory_holds():
    assert weights_and_biases(functools.partial(nn.Linear, 3 * 2**20, 2**20)) == (3 * 2**40, 2**20)
    conv = functools.partial(nn.Conv2d, 3, 5, (3, 2))
    assert weights_and_biases(conv) == (3 * 2 * 3 * 5, 5)


@pytest.mark.parametrize("n, s", [(4, 1), (5, 3), (5, 5), (9, 7)])
def test_taps_inside_by_a_loop(n, s):
    k = s // 2
    read = [i + t for i in range(n) for t in range(-k, k + 1)]
    assert taps_inside(n, s) == sum(0 <= place < n for place in read)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_what_xla_counts(padding):
    make = functools.partial(nn.Conv2d, 3, 5, 3, padding=padding, algorithm="lax")
    places = taps_inside(6, 3) * taps_inside(8, 3) if padding == "SAME" else 4 * 6 * 9
    assert xla_multiply_adds(make, lambda layer, x: layer(x), (6, 8, 3)) == places * 3 * 5
