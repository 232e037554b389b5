"""The sum over taps."""

import pytest
from algorithm_checks import along, are_exact
from primitive_cases import PLAIN, changed, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms.taps import TAPS


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_taps_for_any_number_of_rows(multiplier):
    """The kernel gradient takes rows eight at a time."""
    lines = [(n, 3, s, d) for n, s, d in [(1, 1, 1), (7, 1, 1), (8, 1, 2), (16, 1, 1), (17, 2, 3)]]
    channels = (3, 3 * multiplier)
    problems = [along([(n, k, s, d, (2, 3))], channels, 3) for n, k, s, d in lines]
    problems += [along([(n, 3, 2, 1, (1, 0)), (5, 2, 1, 2, (0, 2))], channels, 3) for n in (3, 19)]
    problems += [along([(10, 2, 1, 1, (0, 0))] * 2 + [(3, 3, 3, 1, (1, 1))], channels, 3)]
    assert {p.out[0] for p in problems} == {1, 4, 8, 9, 10, 19}
    are_exact(TAPS.name, problems)


def test_costs_and_refusal():
    depthwise = describe((2, 8, 8, 4), (3, 3, 1, 4), groups=4)
    assert TAPS.multiply_adds(depthwise) == 2 * 64 * 4 * 9
    large = changed(PLAIN, kernel_size=(17, 16))
    assert TAPS.refusal(large) == "its kernel has 272 taps, of 256 allowed"


def test_is_preferred_for_small_depthwise_kernels():
    problem = describe((64, 16, 16, 96), (3, 3, 1, 96), groups=96)
    assert predicted(problem) == [TAPS.name] * 3
    assert TAPS.name not in predicted(describe((64, 16, 16, 96), (3, 3, 96, 96)))
