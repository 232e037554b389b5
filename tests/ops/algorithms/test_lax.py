"""XLA's own convolution."""

from primitive_cases import PLAIN, PLAIN_PRODUCTS, predicted

from cnnlab.ops import describe
from cnnlab.ops.algorithms.lax import LAX


def test_costs():
    assert (LAX.multiply_adds(PLAIN), LAX.extra_memory(PLAIN)) == (PLAIN_PRODUCTS, 0)


def test_its_gradients_are_jaxs_so_that_it_need_not_be_measured_beside_them():
    assert LAX.input_gradient is None and LAX.kernel_gradient is None


def test_is_preferred_for_dense_sums_and_forward_in_groups():
    assert predicted(describe((64, 32, 32, 3), (3, 3, 3, 32)))[:2] == [LAX.name] * 2
    assert predicted(describe((64, 16, 16, 64), (3, 3, 8, 64), groups=8))[:2] == [LAX.name] * 2
