"""1x1 as a matrix product."""

import pytest
from primitive_cases import PLAIN, changed, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms.pointwise import POINTWISE


def test_costs():
    one = describe((2, 8, 8, 4), (1, 1, 4, 6), stride=2, padding="VALID")
    assert POINTWISE.multiply_adds(one) == 2 * 16 * 4 * 6
    assert POINTWISE.extra_memory(one) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "the kernel size is (3, 3), not 1 along every axis"),
        ({"kernel_size": (1, 1), "groups": 2}, "it has 2 groups, not 1"),
        ({"kernel_size": (1, 1)}, "it is padded by ((1, 1), (1, 1))"),
    ],
)
def test_refusals(changes, says):
    assert POINTWISE.refusal(changed(PLAIN, **changes)) == says


def test_is_preferred_where_it_serves():
    assert predicted(describe((64, 16, 16, 128), (1, 1, 128, 256))) == [POINTWISE.name] * 3
