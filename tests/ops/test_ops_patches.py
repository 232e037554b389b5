"""Unfold, fold, locally-connected layers and the Toeplitz matrix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import ops_reference as reference
import pytest
from hypothesis import given
from ops_reference import few, normal

from cnnlab import ops


@few(15)
@given(reference.cases(groups=False))
def test_unfold_is_every_patch_and_fold_its_adjoint(case):
    x, _ = case.arrays()
    geometry = {k: v for k, v in case.options.items() if k != "groups"}
    expected = reference.unfold(x, case.kernel, **{**geometry, "padding": case.pads})
    other = np.random.default_rng(case.seed + 1).standard_normal(expected.shape)
    other = other.astype(np.float32)

    @jax.jit
    def run(x, p):
        folded = ops.fold(p, case.spatial, case.kernel, **geometry)
        return ops.unfold(x, case.kernel, **geometry), folded

    columns, folded = run(x, other)
    np.testing.assert_array_equal(columns, expected)
    assert folded.shape == x.shape
    # <unfold(x), p> = <x, fold(p)> for the random p, in float64.
    left = np.vdot(expected.astype(float), other)
    np.testing.assert_allclose(np.vdot(x.astype(float), folded), left, rtol=1e-4, atol=1e-4)


def test_fold_counts_overlaps_and_restores_tiles():
    ones = ops.unfold(jnp.ones((4, 1)), (3,), padding="SAME")
    np.testing.assert_array_equal(ops.fold(ones, (4,), (3,), padding="SAME")[:, 0], [2, 3, 3, 2])
    x = normal(2, 6, 4, 3)
    tiles = ops.unfold(x, (3, 2), stride=(3, 2))
    assert tiles.shape == (2, 2, 2, 18)
    np.testing.assert_array_equal(ops.fold(tiles, (6, 4), (3, 2), stride=(3, 2)), x)


def test_fold_adds_half_precision_in_float32():
    # 300 windows overlap; one by one bfloat16 would stop at 256.
    ones = jnp.ones((300, 300), jnp.bfloat16)
    total = jax.jit(lambda p: ops.fold(p, (599,), (300,)))(ones)
    assert total.dtype == jnp.bfloat16
    assert total[299, 0] == 300


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"padding": (1, 0), "dilation": 2}]
)
def test_unfold_and_fold_match_torch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is a reference, not a dependency")
    F = torch.nn.functional
    x = normal(2, 7, 6, 3)
    tx = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)
    columns = jax.jit(lambda x: ops.unfold(x, (3, 2), **options))(x)
    theirs = F.unfold(tx, (3, 2), **options)  # (b, c * taps, windows)
    to_ours = lambda t: t.reshape(2, 3, 6, -1).permute(0, 3, 2, 1).reshape(columns.shape)
    np.testing.assert_array_equal(columns, to_ours(theirs).numpy())
    folded = jax.jit(lambda p: ops.fold(p, (7, 6), (3, 2), **options))(columns)
    back = F.fold(theirs, (7, 6), (3, 2), **options).permute(0, 2, 3, 1)
    np.testing.assert_allclose(folded, back.numpy(), rtol=1e-6)


def test_unfold_batches_differentiates_and_transposes_twice():
    x = normal(2, 3, 5, 4, 2)
    call = functools.partial(ops.unfold, window=(2, 3), stride=2)

    @jax.jit
    def run(x):
        grad = jax.grad(lambda x: jnp.sum(call(x) ** 2))(x)
        return call(x), jax.vmap(call)(x), grad, ops.fold(2 * call(x), (5, 4), (2, 3), stride=2)

    flat, mapped, grad, folded = run(x)
    np.testing.assert_array_equal(flat, mapped)
    np.testing.assert_allclose(grad, folded, rtol=1e-6)
    np.testing.assert_array_equal(call(x[1, 2]), flat[1, 2])


@few(15)
@given(reference.cases(max_rank=2, groups=False))
def test_local_conv_is_a_matrix_for_each_pixel(case):
    x, _ = case.arrays()
    geometry = {k: v for k, v in case.options.items() if k != "groups"}
    columns = reference.unfold(x, case.kernel, **{**geometry, "padding": case.pads})
    rng = np.random.default_rng(case.seed)
    weights = rng.standard_normal((*columns.shape[1:], case.channels[1])).astype(np.float32)
    expected = np.zeros((*columns.shape[:-1], case.channels[1]), np.float32)
    for position in np.ndindex(*columns.shape[1:-1]):
        for b in range(case.batch):
            expected[(b, *position)] = weights[position].T @ columns[(b, *position)]
    y = jax.jit(lambda x, w: ops.local_conv(x, w, window=case.kernel, **geometry))(x, weights)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_local_conv_with_one_matrix_everywhere_is_a_convolution():
    # A 3.2: sharing the weights is all that separates the two layers.
    x, kernel = normal(2, 5, 4, 3), normal(3, 3, 3, 2, seed=1)
    shared = jnp.broadcast_to(kernel.reshape(27, 2), (5, 4, 27, 2))

    @jax.jit
    def run(x, kernel, shared):
        local = functools.partial(ops.local_conv, window=3)
        grad = jax.grad(lambda w: jnp.sum(local(x, w) ** 2))(shared)
        same = jax.grad(lambda k: jnp.sum(ops.conv(x, k) ** 2))(kernel)
        return local(x, shared), ops.conv(x, kernel), grad, same

    local, shared_y, grad, same = run(x, kernel, shared)
    np.testing.assert_allclose(local, shared_y, rtol=1e-5, atol=1e-5)
    # A shared weight's gradient is the sum over the pixels that share it (B 10.1.5).
    np.testing.assert_allclose(grad.sum((0, 1)).reshape(kernel.shape), same, rtol=1e-4, atol=1e-4)


def test_local_conv_half_precision():
    x, weights = jnp.ones((4, 2, 1536), jnp.bfloat16), jnp.ones((2, 1536, 3), jnp.bfloat16)
    call = functools.partial(ops.local_conv, window=1)
    y = jax.jit(call)(x, weights)  # of several examples, as XLA has it another way round
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(np.float32), 1536)
    # Also where a backend would accumulate in 16 bits: the product itself asks for float32.
    assert "preferred_element_type=float32" in str(jax.make_jaxpr(call)(x, weights))


def test_the_chapters_toeplitz_matrix():
    # A 3.3, entry by entry, with W_1, W_2, W_3 = 1, 2, 3.
    kernel = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    expected = [
        [2, 3, 0, 0],
        [1, 2, 3, 0],
        [0, 1, 2, 3],
        [0, 0, 1, 2],
    ]
    np.testing.assert_array_equal(ops.toeplitz_matrix(kernel, (4, 1)), expected)
    # A 2.5: the same on an input that carries its zeros.
    padded = [
        [1, 2, 3, 0, 0, 0],
        [0, 1, 2, 3, 0, 0],
        [0, 0, 1, 2, 3, 0],
        [0, 0, 0, 1, 2, 3],
    ]
    matrix = ops.toeplitz_matrix(kernel, (6, 1), padding="VALID")
    np.testing.assert_array_equal(matrix, padded)


def test_toeplitz_matrix_in_two_dimensions_is_block_toeplitz():
    kernel = normal(3, 3, 1, 1)
    matrix = np.asarray(ops.toeplitz_matrix(kernel, (4, 5, 1))).reshape(4, 5, 4, 5)
    for shift in (-1, 0, 1):
        blocks = [matrix[i, :, i + shift] for i in range(4) if 0 <= i + shift < 4]
        for block in blocks:
            np.testing.assert_array_equal(block, blocks[0])
    np.testing.assert_array_equal(matrix[0, :, 2], 0)
    np.testing.assert_array_equal(np.diagonal(matrix[1, :, 1]), kernel[1, 1, 0, 0])


def test_toeplitz_transpose_is_conv_transpose():
    y, kernel = normal(3, 4), normal(3, 1, 4, seed=1)
    options = {"stride": 2, "groups": 2}
    matrix = ops.toeplitz_matrix(kernel, (6, 2), **options)
    x = ops.conv_transpose(y, kernel, **options)
    np.testing.assert_allclose(matrix.T @ y.reshape(-1), x.reshape(-1), rtol=1e-5, atol=1e-5)
