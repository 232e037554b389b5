"""When compiled sums are taken; what they compute is in tests/ops/test_native.py."""

import pytest
from primitive_cases import needs_engine, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms.native import NATIVE


@needs_engine
@pytest.mark.parametrize(
    ("x", "kernel"), [((64, 32, 32, 3), (3, 3, 3, 32)), ((64, 16, 16, 96), (3, 3, 1, 96))]
)
def test_is_preferred_where_it_has_code_for_the_shape(x, kernel):
    problem = describe(x, kernel, groups=x[-1] // kernel[-2])
    assert predicted(problem, engine=True) == [NATIVE.name] * 3


@needs_engine
def test_is_not_where_it_has_only_general_code():
    filters = describe((4, 100, 4), (60, 1, 8), groups=4)
    assert NATIVE.name not in predicted(filters, engine=True)
