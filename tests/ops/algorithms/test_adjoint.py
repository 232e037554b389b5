"""The transpose in the input as convolutions of stride 1."""

import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_checks import AXES, along

from cnnlab.ops.algorithms.adjoint import phases, transpose_kernel


@pytest.mark.parametrize("label", [n for n, axis in AXES.items() if 1 in axis[2:4]])
def test_the_phases_of_a_transpose_are_all_inputs_and_all_taps(label):
    n, kernel, stride, dilation, _ = AXES[label]
    parts = phases(along([AXES[label]], (1, 1), 1))
    covered = [offset + stride * j for (offset,), _, p in parts for j in range(p.out[0])]
    assert sorted(covered) == list(range(n))
    used = [t for _, (some,), _ in parts for t in range(kernel)[some]]
    assert len(used) == len(set(used)) and (len(used) == kernel or n < stride)
    for _, _, p in parts:  # the geometry of a convolution of stride 1
        low, high = p.padding[0]
        reach = (p.kernel_size[0] - 1) * dilation
        assert p.out[0] == p.spatial[0] + low + high - reach or 0 in p.kernel_size


def test_a_transposed_kernel_swaps_channels_within_groups():
    kernel = np.arange(2 * 2 * 6).reshape(2, 2, 6)  # two groups: 2 channels in, 3 out, each
    turned = np.asarray(transpose_kernel(jnp.asarray(kernel), 2))
    assert turned.shape == (2, 3, 4)
    for tap in range(2):
        for group in range(2):
            one = kernel[1 - tap, :, 3 * group : 3 * group + 3]
            np.testing.assert_array_equal(turned[tap, :, 2 * group : 2 * group + 2], one.T)
