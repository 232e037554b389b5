"""Pooling against loops, PyTorch and lax, with its gradient at ties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import ops_reference as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from ops_reference import few, normal

from cnnlab import ops


@st.composite
def pools(draw):
    rank = draw(st.integers(1, 3))
    axes = [
        (draw(st.integers(1, 7 if rank < 3 else 4)), draw(st.integers(1, 3))) for _ in range(rank)
    ]
    spatial, window = zip(*axes, strict=True)
    stride = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * rank)))
    fits = all(n >= k for n, k in axes)
    padding = draw(st.sampled_from(["SAME", "VALID"] if fits else ["SAME"]))
    if fits and draw(st.booleans()):
        sides = [(draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for _, k in axes]
        padding = tuple(sides)
    steps = stride or window
    if padding == "SAME":
        zipped = zip(spatial, window, steps, strict=True)
        pads = tuple(reference.same_pads(n, k, s, 1) for n, k, s in zipped)
    else:
        pads = ((0, 0),) * rank if padding == "VALID" else padding
    return spatial, window, stride, padding, pads, draw(st.integers(0, 999))


def lax_max(x, window, strides, pads):
    around = lambda a, edge: (edge, *a, edge)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, around(window, 1), around(strides, 1), around(pads, (0, 0))
    )


@few(15)
@given(pools())
def test_pooling_is_the_loops_and_the_gradient_lax_s_even_at_ties(pool):
    spatial, window, stride, padding, pads, seed = pool
    strides = stride or window
    # Small integers: most windows have ties.
    x = np.random.default_rng(seed).integers(0, 3, (2, *spatial, 2)).astype(np.float32)
    loops = {"stride": strides, "padding": pads}

    @jax.jit
    def run(x):
        y, vjp = jax.vjp(lambda x: ops.max_pool(x, window, stride, padding), x)
        same, reference_vjp = jax.vjp(lambda x: lax_max(x, window, strides, pads), x)
        dy = 1 + jnp.arange(y.size, dtype=y.dtype).reshape(y.shape)
        return y, ops.avg_pool(x, window, stride, padding), same, vjp(dy)[0], reference_vjp(dy)[0]

    y, mean, same, grad, expected = run(x)
    np.testing.assert_array_equal(y, reference.pool(x, window, **loops, reduction=np.nanmax))
    np.testing.assert_array_equal(y, same)
    np.testing.assert_allclose(
        mean, reference.pool(x, window, **loops, reduction=np.nanmean), rtol=1e-6
    )
    np.testing.assert_array_equal(grad, expected)


@pytest.mark.parametrize("size", [(4, 4), (5, 3)])
@pytest.mark.parametrize("stride", [None, 1])
def test_a_tie_sends_the_gradient_to_the_first(size, stride):
    x = jnp.zeros((*size, 1))
    grad = jax.jit(jax.grad(lambda x: ops.max_pool(x, (2, 2), stride, "SAME").sum()))(x)[..., 0]
    if stride == 1:  # every window its own first entry
        np.testing.assert_array_equal(grad, 1)
    else:
        rows = ops.resolve_padding("SAME", size, (2, 2), (2, 2))
        assert rows[0][0] == 0
        expected = np.zeros(size)
        expected[::2, ::2] = 1
        np.testing.assert_array_equal(grad, expected)


def test_equation_of_the_chapter():
    # A 4.5: p in {2i - 1, 2i}, q in {2j - 1, 2j}.
    x = jnp.array([[1.0, 5, 2, 0], [3, 4, 8, 7], [0, 0, -1, -2], [0, 9, -3, -4]])[..., None]
    np.testing.assert_array_equal(ops.max_pool(x, (2, 2))[..., 0], [[5, 8], [9, -1]])
    np.testing.assert_array_equal(ops.avg_pool(x, (2, 2))[..., 0], [[3.25, 4.25], [2.25, -2.5]])


def test_max_pool_batches_and_is_the_same_when_used_again():
    x = normal(2, 3, 5, 4, 2)
    loss = lambda x: jnp.sum(ops.max_pool(x, (2, 2), padding="SAME") ** 2)
    step = jax.jit(jax.value_and_grad(loss))
    value, grad = step(x)
    again, grad_again = step(x)
    assert value == again
    np.testing.assert_array_equal(grad, grad_again)
    twice = jax.jit(jax.grad(lambda x: loss(x) + loss(2 * x)))(x)  # two uses in one program
    np.testing.assert_allclose(twice, 5 * grad, rtol=1e-6)
    mapped = jax.jit(jax.vmap(jax.vmap(jax.grad(loss))))(x)
    np.testing.assert_array_equal(mapped, grad)
    np.testing.assert_array_equal(jax.grad(loss)(x[1, 2]), grad[1, 2])


def test_max_pool_second_order_and_forward_mode():
    x, v = normal(4, 6, 2), normal(4, 6, 2, seed=1)
    loss = lambda x: jnp.sum(ops.max_pool(x, (2, 3)) ** 3)

    @jax.jit
    def run(x, v):
        ahead = jax.jvp(lambda x: ops.max_pool(x, (2, 3)), (x,), (v,))
        return ahead, jax.jvp(jax.grad(loss), (x,), (v,))[1]

    (y, dy), product = run(x, v)
    blocks = lambda a: np.asarray(a).reshape(2, 2, 2, 3, 2).transpose(0, 2, 4, 1, 3).reshape(8, 6)
    which = blocks(x).argmax(-1)
    picked = blocks(v)[np.arange(8), which].reshape(2, 2, 2)
    np.testing.assert_array_equal(dy, picked)
    expected = np.zeros((8, 6), np.float32)
    expected[np.arange(8), which] = (6 * y * picked).reshape(-1)
    np.testing.assert_allclose(blocks(product), expected, rtol=1e-5)


@pytest.mark.parametrize("stride", [None, 1])
def test_max_pool_of_other_types(stride):
    x = jnp.array([[-5], [-3], [-9]], jnp.int32)
    y = ops.max_pool(x, (2,), stride, "SAME")
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y[:, 0], [-3, -9] if stride is None else [-3, -3, -9])
    half = ops.max_pool(x.astype(jnp.bfloat16), (2,), stride, "SAME")
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half.astype(int), y)
    broken = ops.max_pool(jnp.array([[1.0], [jnp.nan], [2.0], [3.0]]), (2,), stride)
    np.testing.assert_array_equal(np.isnan(broken[:2, 0]), [True, stride == 1])


def test_average_accumulates_in_float32_and_ignores_padding():
    x = jnp.ones((1024, 1), jnp.bfloat16)
    y = ops.avg_pool(x, (1024,))
    assert y.dtype == jnp.bfloat16
    assert y[0, 0] == 1
    border = ops.avg_pool(jnp.ones((5, 5, 1)), (3, 3), 2, "SAME")
    np.testing.assert_array_equal(border, 1)


@pytest.mark.parametrize(
    ("rank", "window", "stride", "padding"),
    [(1, (3,), 2, 1), (2, (2, 2), None, 0), (2, (3, 2), (2, 1), (1, 0)), (3, (2, 3, 2), 2, 1)],
)
def test_pooling_matches_torch(rank, window, stride, padding):
    torch = pytest.importorskip("torch", reason="PyTorch is a reference, not a dependency")
    F = torch.nn.functional
    x = normal(2, *(7, 6, 8)[:rank], 3)
    tx = torch.tensor(np.asarray(x)).permute(0, rank + 1, *range(1, rank + 1)).requires_grad_()
    back = lambda t: t.detach().permute(0, *range(2, rank + 2), 1).numpy()
    largest = getattr(F, f"max_pool{rank}d")(tx, window, stride, padding)
    mean = getattr(F, f"avg_pool{rank}d")(tx, window, stride, padding, count_include_pad=False)
    ours = "VALID" if padding == 0 else padding

    @jax.jit
    def run(x):
        y, vjp = jax.vjp(lambda x: ops.max_pool(x, window, stride, ours), x)
        return y, ops.avg_pool(x, window, stride, ours), vjp(y)[0]

    y, average, grad = run(x)
    np.testing.assert_array_equal(y, back(largest))
    np.testing.assert_allclose(average, back(mean), rtol=1e-5, atol=1e-6)
    (largest**2 / 2).sum().backward()
    np.testing.assert_allclose(grad, back(tx.grad), rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("kind", "reduction"), [("avg", "mean"), ("max", "max"), ("sum", "sum")])
def test_global_pool(rank, kind, reduction):
    x = normal(2, 3, *(4, 5, 2)[:rank], 6)
    y = ops.global_pool(x, kind, rank)
    expected = getattr(np.asarray(x, float), reduction)(tuple(range(2, 2 + rank)))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        jax.vmap(functools.partial(ops.global_pool, kind=kind, num_spatial_dims=rank))(x), y,
        rtol=1e-6,
    )  # fmt: skip


def test_global_pool_in_half_precision_and_by_default_over_two_axes():
    x = jnp.ones((40, 40, 2), jnp.bfloat16)
    np.testing.assert_array_equal(ops.global_pool(x, "sum").astype(np.float32), 1600)
    np.testing.assert_array_equal(ops.global_pool(x, "avg").astype(np.float32), 1)


def test_gradient_of_the_global_maximum_goes_to_the_first_of_the_largest():
    x = jnp.array([[1.0, 5.0, 5.0], [3.0, -jnp.inf, 2.0], [-jnp.inf] * 3])[..., None]
    gradient = jax.grad(lambda x: ops.global_pool(x, "max", 1).sum())(x)
    np.testing.assert_array_equal(gradient[..., 0], [[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    nan = ops.global_pool(x.at[0, 0].set(jnp.nan), "max", 1)
    np.testing.assert_array_equal(nan[:, 0], [np.nan, 3, -np.inf])


@pytest.mark.parametrize("padding", ["VALID", ((1, 0), (1, 0))])
def test_windows_that_leave_a_rest_of_a_reshaped_array(padding):
    """jaxlib 0.10.1 computes another sum where it fuses the reshape with `lax.reduce_window`."""
    flat = np.random.default_rng(0).standard_normal((300, 121)).astype(np.float32)
    size = 11 if padding == "VALID" else 10
    x = flat.reshape(-1)[: 300 * size * size].reshape(300, size, size, 1)
    pool = jax.jit(lambda v: ops.avg_pool(v.reshape(x.shape), (2, 2), None, padding))
    low = 0 if padding == "VALID" else 1
    padded = np.pad(x, ((0, 0), (low, 0), (low, 0), (0, 0)), constant_values=np.nan)[:, :10, :10]
    expected = np.nanmean(padded.reshape(300, 5, 2, 5, 2, 1), axis=(2, 4))
    np.testing.assert_allclose(pool(x.reshape(300, -1)), expected, rtol=1e-5, atol=1e-6)
