"""The routes to a convolution: they compute the same, and a wrong value is seen."""

import numpy as np
import pytest

from cnnlab.bench import contenders, selection
from cnnlab.ops import FOURIER, REFERENCE, REGISTRY, describe


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_wrong_value_in_any_result_is_seen(index):
    problem = describe((2, 6, 6, 2), (3, 3, 2, 3))
    right = contenders.contenders(problem, contenders.random_operands(problem, 0), [], [])[
        REFERENCE
    ]
    reference = right.result("gradients")
    assert contenders.largest_error(reference, reference) == 0
    wrong = [a.copy() for a in reference]
    wrong[index][0] += 0.5
    assert contenders.largest_error(wrong, reference) > 1e-2
    wrong[index][0] = np.nan
    assert not contenders.largest_error(wrong, reference) <= 1
    wrong[index] = wrong[index][:1]
    assert contenders.largest_error(wrong, reference) == float("inf")


def test_what_is_not_worth_its_time_is_left_out_with_a_reason():
    long = describe((1, 4096, 4), (4096, 1, 4), padding="CAUSAL", groups=4)
    names, skipped = selection.select_algorithms(long, None)
    assert FOURIER in names
    many = [n for n, a in REGISTRY.items() if a.most_taps is not None]
    assert many and all("taps would take minutes" in skipped[n] for n in many)
    small = describe((64, 16, 16, 4), (3, 3, 4, 4))
    names, skipped = selection.select_algorithms(small, None)
    assert {FOURIER, *many} <= set(names) and REFERENCE not in names
    dear = [n for n, a in REGISTRY.items() if a.multiply_adds(small) > 20 * small.multiply_adds]
    assert set(skipped) == set(dear) != set()
    assert all("times the multiply-adds" in reason for reason in skipped.values())
    assert selection.select_algorithms(small, [FOURIER])[0] == [FOURIER]


GEOMETRIES = [
    (((2, 7, 6, 4), (3, 4, 2, 6)), {"groups": 2}),
    (((2, 7, 6, 4), (2, 3, 4, 2)), {"stride": (2, 1), "padding": ((0, 2), (1, 0))}),
    (((2, 9, 2), (3, 2, 2)), {"padding": "CAUSAL", "dilation": 2}),
    (((1, 5, 4, 6, 2), (3, 2, 3, 1, 2)), {"groups": 2, "padding": "VALID"}),
]


@pytest.mark.parametrize(("shapes", "geometry"), GEOMETRIES)
def test_peers_compute_the_same_convolution(shapes, geometry):
    pytest.importorskip("torch", reason="compares with PyTorch")
    problem = describe(*shapes, **geometry)
    found = contenders.contenders(
        problem, contenders.random_operands(problem, 0), [FOURIER], ["eqx", "torch"]
    )
    assert ("torch channels-last" in found) == (problem.rank > 1)
    for which in contenders.TIMED_PASSES:
        reference = found[REFERENCE].result(which)
        assert [a.shape for a in reference] == [
            problem.y_shape, problem.x_shape, problem.kernel_shape
        ][: len(reference)]  # fmt: skip
        for name, contender in found.items():
            assert contenders.largest_error(contender.result(which), reference) < 1e-5, name
