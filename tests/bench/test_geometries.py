"""Random geometries: served, of every kind, and the same for the same generator."""

import numpy as np
import pytest

from cnnlab.bench.geometries import random_problem
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import REFERENCE, REGISTRY, describe


def some(name, count=60, seed=0):
    rng = np.random.default_rng(seed)
    return [random_problem(name, rng) for _ in range(count)]


@pytest.mark.parametrize("name", [n for n, a in REGISTRY.items() if a.unavailable() is None])
def test_every_one_is_served_and_seeds_repeat(name):
    problems = some(name)
    assert all(REGISTRY[name].refusal(p) is None for p in problems)
    assert problems == some(name) != some(name, seed=1)
    assert len(set(problems)) > 55 or (
        REGISTRY[name].domain.kernel_size == 1 and len(set(problems)) > 45
    )


def test_all_kinds_occur():
    problems = some(REFERENCE, 500)
    same = [
        p
        for p in problems
        if p.out == tuple(-(-n // s) for n, s in zip(p.spatial, p.stride, strict=True))
    ]
    counts = {
        **{f"rank {rank}": sum(p.rank == rank for p in problems) for rank in (1, 2, 3)},
        "strided": sum(max(p.stride) > 1 for p in problems),
        "dilated": sum(max(p.dilation) > 1 for p in problems),
        "both on one axis": sum(
            any(s > 1 and d > 1 for s, d in zip(p.stride, p.dilation, strict=True))
            for p in problems
        ),
        "grouped": sum(1 < p.groups < p.in_channels for p in problems),
        "depthwise": sum(1 < p.groups == p.in_channels for p in problems),
        "even kernel": sum(any(k % 2 == 0 for k in p.kernel_size) for p in problems),
        "kernel longer than the input": sum(
            any(e > n for e, n in zip(p.window.extent, p.spatial, strict=True)) for p in problems
        ),
        "no padding": sum(p.padding == ((0, 0),) * p.rank for p in problems),
        "uneven padding": sum(any(low != high for low, high in p.padding) for p in problems),
        "padding wider than the kernel": sum(
            any(max(pair) >= k for pair, k in zip(p.padding, p.kernel_size, strict=True))
            for p in problems
        ),
        "same": len(same),
        "one example": sum(p.batch == 1 for p in problems),
        "several examples": sum(p.batch > 1 for p in problems),
    }
    assert {kind: n for kind, n in counts.items() if n < 20} == {}
    for name in (n for n, a in REGISTRY.items() if a.domain.long):
        assert len([p for p in some(name, 200) if p.spatial[0] > 100]) > 10


def test_the_reference_on_a_convolution_done_by_hand():
    """x = 1 2 3 with a zero on the left, every second window, kernel 10 1: y = 1, 23."""
    p = describe((1, 3, 1), (2, 1, 1), stride=2, padding=((1, 0),))
    x, kernel = np.array([1.0, 2, 3]).reshape(p.x_shape), np.array([10.0, 1]).reshape(2, 1, 1)
    dy = np.array([1.0, 100]).reshape(p.y_shape)
    y, dx, dk = convolution(x, kernel, dy, p)
    assert y.ravel().tolist() == [1, 23]
    assert dx.ravel().tolist() == [1, 1000, 100]
    assert dk.ravel().tolist() == [200, 301]
    # Two groups, and two dilated taps that reach over one position between.
    p = describe((1, 3, 2), (2, 1, 2), padding="VALID", dilation=2, groups=2)
    x = np.array([[1.0, 2], [50, 60], [3, 4]])[None]
    kernel = np.array([[1.0, 10], [100, 1000]])[:, None]
    y, dx, dk = convolution(x, kernel, np.array([[[1.0, 2]]]), p)
    assert y.ravel().tolist() == [301, 4020]
    assert dx[0].tolist() == [[1, 20], [0, 0], [100, 2000]]
    assert dk[:, 0].tolist() == [[1, 4], [3, 8]]


def test_relative_error_is_of_the_largest_entry():
    expected = np.array([10.0, -20, 0])
    assert relative_error(expected + np.array([0, 0, 1]), expected) == 0.05
    assert relative_error(expected, expected) == 0
    assert relative_error(np.array([np.nan, 0]), np.zeros(2)) == np.inf
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.array([1e-3, 0]), np.zeros(2)) == 1e-3
    assert relative_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0
