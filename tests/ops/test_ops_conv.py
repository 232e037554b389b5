"""The convolution against loops written from the formulas, and against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import ops_reference as reference
import pytest
from hypothesis import given
from ops_reference import few, normal

from cnnlab import ops
from cnnlab.ops import REGISTRY

# Of any window and step, in groups or not, and any type of floats; and those of a window of 1.
GENERAL = [
    n
    for n, a in REGISTRY.items()
    if a.portable and a.domain.kernel_size is None and a.domain.stepped and a.domain.grouped
]
POINTS = [n for n, a in REGISTRY.items() if a.domain.kernel_size == 1]
NAMES = [*GENERAL, *POINTS]
WHOLE = ops.algorithms((2, 6, 2), (3, 2, 3), dtype=np.int32)
WHOLE = [*WHOLE, *POINTS]
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


@few(15)
@given(reference.cases())
def test_every_algorithm_is_the_sum_of_the_formula(case):
    x, kernel = case.arrays()
    expected = reference.conv(x, kernel, **case.loops)
    names = ops.algorithms(x.shape, kernel.shape, **case.options)
    assert set(GENERAL) <= set(names)

    @jax.jit
    def run(x, kernel):
        call = functools.partial(ops.conv, x, kernel, **case.options)
        matrix = ops.toeplitz_matrix(kernel, x.shape[1:], **case.options)
        return {n: call(algorithm=n) for n in names}, matrix

    results, matrix = run(x, kernel)
    for name, y in results.items():
        np.testing.assert_allclose(y, expected, **TOLERANCE, err_msg=name)
    rows = x.reshape(case.batch, -1) @ np.asarray(matrix).T
    np.testing.assert_allclose(rows.reshape(expected.shape), expected, **TOLERANCE)


@few(10)
@given(reference.cases())
def test_gradients_and_transpose_are_the_loops_read_backwards(case):
    x, kernel = case.arrays()
    names = ops.algorithms(x.shape, kernel.shape, **case.options)
    out = reference.windows(case.spatial, case.kernel, case.stride, case.pads, case.dilation)
    dy = np.random.default_rng(case.seed + 1).standard_normal((case.batch, *out, case.channels[1]))
    dy = dy.astype(np.float32)
    dx, dk = reference.conv_vjp(x, kernel, dy, **case.loops)

    @jax.jit
    def run(x, kernel, dy):
        grads = {}
        for name in names:
            call = functools.partial(ops.conv, **case.options, algorithm=name)
            grads[name] = jax.vjp(call, x, kernel)[1](dy)
        return grads, ops.conv_transpose(dy, kernel, shape=case.spatial, **case.options)

    grads, transposed = run(x, kernel, dy)
    for name, (gx, gk) in grads.items():
        np.testing.assert_allclose(gx, dx, rtol=1e-4, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(gk, dk, rtol=1e-4, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(transposed, dx, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2])
def test_second_derivatives_in_float64(size):
    """A Hessian-vector product (forward over reverse) is the difference of two gradients."""
    with jax.enable_x64(True):
        point = normal(2, 3, 2, dtype=float), normal(size, 2, 2, seed=1, dtype=float)
        along = normal(2, 3, 2, seed=2, dtype=float), normal(size, 2, 2, seed=3, dtype=float)

        def gradient(name):
            call = functools.partial(ops.conv, stride=2, algorithm=name)
            return jax.grad(lambda x, k: jnp.sum(jnp.sin(call(x, k))), (0, 1))

        names = ops.algorithms((2, 3, 2), (size, 2, 2), stride=2, dtype=float)
        run = jax.jit(lambda p, v: {n: jax.jvp(gradient(n), p, v) for n in names})
        step = 1e-6
        moved = [tuple(p + s * v for p, v in zip(point, along, strict=True)) for s in (step, -step)]
        derivatives, *ends = jax.device_get([run(p, along) for p in (point, *moved)])
    assert (set(POINTS) <= set(names)) == (size == 1)
    for name, (_, product) in derivatives.items():
        for i in range(2):
            difference = (ends[0][name][0][i] - ends[1][name][0][i]) / (2 * step)
            assert product[i].dtype == np.float64
            np.testing.assert_allclose(product[i], difference, rtol=1e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_float64_precision(name):
    size = (1, 1) if name in POINTS else (3, 2)
    with jax.enable_x64(True):
        x = normal(2, 5, 4, 3, seed=3, dtype=float)
        kernel = normal(*size, 3, 2, seed=4, dtype=float)
        y = jax.jit(functools.partial(ops.conv, algorithm=name))(x, kernel)
    pads = ops.resolve_padding("SAME", (5, 4), size)
    expected = reference.conv(
        np.asarray(x), np.asarray(kernel), stride=(1, 1), padding=pads, dilation=(1, 1), groups=1
    )
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", GENERAL)
def test_complex(name):
    rng = np.random.default_rng(0)
    x, kernel = (
        (rng.standard_normal(s) + 1j * rng.standard_normal(s)).astype(np.complex64)
        for s in [(2, 6, 4), (3, 2, 4)]
    )
    y = jax.jit(functools.partial(ops.conv, groups=2, algorithm=name))(x, kernel)
    expected = reference.conv(x, kernel, stride=(1,), padding=((1, 1),), dilation=(1,), groups=2)
    assert y.dtype == np.complex64
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_integers_are_exact(name):
    rng = np.random.default_rng(0)
    size = (1,) if name in POINTS else (3,)
    x, kernel = rng.integers(-9, 9, (2, 6, 2)), rng.integers(-9, 9, (*size, 2, 3))
    x, kernel = x.astype(np.int32), kernel.astype(np.int32)
    y = ops.conv(jnp.asarray(x), jnp.asarray(kernel), algorithm=name)
    pads = ((size[0] // 2,) * 2,)
    expected = reference.conv(x, kernel, stride=(1,), padding=pads, dilation=(1,), groups=1)
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_accumulates_in_float32(name, dtype):
    # 1536 ones: adding one by one in bfloat16 stops at 256; the gradient of a weight sums 1536 too.
    size = 1 if name in POINTS else 3
    x, kernel = jnp.ones((2, 3, 1536 // size), dtype), jnp.ones((size, 1536 // size, 1), dtype)
    call = functools.partial(ops.conv, padding="VALID", algorithm=name)
    y = jax.jit(call)(x, kernel)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.astype(np.float32), 1536)
    wide, deep = jnp.ones((1536, size, 1), dtype), jnp.ones((size, 1, 1), dtype)
    total = lambda k: jnp.sum(call(wide, k).astype(jnp.float32))
    np.testing.assert_array_equal(
        jax.jit(jax.grad(total))(deep).astype(np.float32), 1536 * (size if size == 1 else 1)
    )


@pytest.mark.parametrize("name", NAMES)
def test_products_of_half_precision_ask_for_float32(name):
    # Also where a backend would accumulate in 16 bits.
    size = 1 if name in POINTS else 3
    x, kernel = normal(1, 4, 6, dtype=jnp.bfloat16), normal(size, 6, 2, dtype=jnp.bfloat16)
    call = functools.partial(ops.conv, padding="VALID", algorithm=name)
    text = jax.jit(jax.grad(lambda x, k: call(x, k).sum().astype(float), (0, 1))).lower(x, kernel)
    products = [
        line
        for line in text.as_text().splitlines()
        if "stablehlo.dot_general" in line or "stablehlo.convolution" in line
    ]
    # Of Fourier transforms they may be complex numbers of two float32.
    kinds = ("xcomplex<f32>>", "xf32>") if REGISTRY[name].fourier else ("xf32>",)
    assert products
    assert all(line.rstrip().endswith(kinds) for line in products)


def test_mixed_types_promote():
    x = jnp.arange(12, dtype=jnp.uint8).reshape(1, 6, 2)
    kernel = normal(3, 2, 1, seed=5)
    y = ops.conv(x, kernel)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, ops.conv(x.astype(jnp.float32), kernel), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_and_leading_axes_are_the_batch(name):
    size = (1, 1) if name in POINTS else (3, 2)
    x, kernel = normal(2, 3, 5, 4, 2, seed=6), normal(*size, 2, 3, seed=7)
    call = functools.partial(ops.conv, stride=2, algorithm=name)
    kernels = normal(2, *kernel.shape, seed=50)

    @jax.jit
    def run(x, kernel, kernels):
        flat = call(x.reshape(6, 5, 4, 2), kernel)
        once = jax.vmap(call, (0, None))
        others = call(x, kernel), once(x, kernel), jax.vmap(once, (0, None))(x, kernel)
        each = jax.vmap(call)(x, kernels), call(x[1], kernels[1])
        return flat, others, call(x[1, 2], kernel), each

    flat, others, single, (each, alone) = run(x, kernel, kernels)
    for other in others:
        np.testing.assert_allclose(other.reshape(flat.shape), flat, **TOLERANCE)
    np.testing.assert_allclose(single, flat[5], **TOLERANCE)
    np.testing.assert_allclose(each[1], alone, **TOLERANCE)


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(name):
    groups = 1 if name in POINTS else 2
    kernel = jnp.zeros((1 if groups == 1 else 3, 2 // groups, 4))
    call = functools.partial(ops.conv, groups=groups, algorithm=name)
    assert jax.eval_shape(call, jnp.zeros((0, 5, 2)), kernel).shape == (0, 5, 4)
    assert name in ops.algorithms((0, 5, 2), kernel.shape, groups=groups)


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("options", [{}, {"dilation": 2}, {"stride": 2}])
def test_causal_padding_sees_no_future(name, options):
    x, kernel = normal(7, 1, seed=9), 1 + abs(normal(3, 1, 1, seed=99))
    call = functools.partial(ops.conv, padding="CAUSAL", algorithm=name, **options)
    jacobian = jax.jit(jax.jacrev(call))(x, kernel)[:, 0, :, 0]
    stride = options.get("stride", 1)
    assert jacobian.shape == (-(-7 // stride), 7)
    for i, row in enumerate(np.asarray(jacobian)):
        now = i * stride
        np.testing.assert_array_equal(row[now + 1 :], 0)
        assert abs(row[now]) >= 0.99


def test_flip_is_the_signal_processors_convolution():
    x, kernel = normal(9, 1, seed=10), normal(4, 1, 1, seed=11)
    expected = np.convolve(x[:, 0], kernel[:, 0, 0])
    full = functools.partial(ops.conv, padding=3, flip=True)
    np.testing.assert_allclose(full(x, kernel)[:, 0], expected, rtol=1e-5, atol=1e-5)
    spectral = ops.fft_conv(x, kernel, padding=3, flip=True)
    np.testing.assert_allclose(spectral[:, 0], expected, rtol=1e-5, atol=1e-5)
    matrix = ops.toeplitz_matrix(kernel, (9, 1), padding=3, flip=True)
    np.testing.assert_allclose(matrix @ x[:, 0], expected, rtol=1e-5, atol=1e-5)
    correlated = ops.conv(x, kernel, padding=3)[:, 0]
    np.testing.assert_allclose(
        correlated, np.correlate(x[:, 0], kernel[:, 0, 0], "full"), **TOLERANCE
    )


def test_the_chapters_edge_and_ridge_kernels():
    # B eq. 10.2-10.4: three channels, only red counts, a bright left half.
    vertical = np.array([[1, 0, -1]] * 3, np.float32)
    kernel = jnp.asarray(np.stack([vertical, 0 * vertical, 0 * vertical], -1)[..., None])
    image = np.ones((4, 6, 3), np.float32)
    image[:, 3:, 0] = 0
    y = ops.conv(jnp.asarray(image), kernel, padding="VALID")[..., 0]
    np.testing.assert_array_equal(y, [[0, 3, 3, 0]] * 2)
    # A 3.5: the ridge kernel is 0 on a flat patch and 8 on an isolated pixel.
    ridge = jnp.full((3, 3, 1, 1), -1.0).at[1, 1].set(8)
    dot = jnp.zeros((5, 5, 1)).at[2, 2].set(1)
    response = ops.conv(dot, ridge)[..., 0]
    assert response[2, 2] == 8
    assert response[1, 1] == -1
    np.testing.assert_array_equal(ops.conv(jnp.ones((5, 5, 1)), ridge)[1:-1, 1:-1], 0)


def test_one_by_one_is_a_matrix_at_every_pixel():
    # A 5.1, with a stride.
    x, kernel = normal(5, 4, 3, seed=12), normal(1, 1, 3, 2, seed=13)
    y = ops.conv(x, kernel, stride=2)
    expected = np.einsum("ijc,cz->ijz", x[::2, ::2], kernel[0, 0])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


TORCH_CASES = [
    (1, {}),
    (1, {"stride": 2, "padding": 3, "dilation": 2}),
    (2, {"padding": (1, 2), "groups": 2}),
    (2, {"stride": (2, 3), "padding": 1, "dilation": (1, 2)}),
    (3, {"stride": 2, "padding": 1, "groups": 4}),
]


@pytest.mark.parametrize(("rank", "options"), TORCH_CASES)
def test_matches_torch(rank, options):
    torch = pytest.importorskip("torch", reason="PyTorch is a reference, not a dependency")
    F = torch.nn.functional
    spatial, size = (9, 8, 7)[:rank], (4, 3, 2)[:rank]
    groups = options.get("groups", 1)
    x = normal(2, *spatial, 4, seed=14)
    kernel = normal(*size, 4 // groups, 8, seed=15)
    to = lambda a, order: torch.tensor(np.asarray(a)).permute(order).contiguous()
    first = (0, rank + 1, *range(1, rank + 1))
    tx, tk = to(x, first), to(kernel, (rank + 1, rank, *range(rank)))
    back = lambda t: t.permute(0, *range(2, rank + 2), 1).numpy()

    ours = {"padding": "VALID", **options}
    y = jax.jit(functools.partial(ops.conv, **ours))(x, kernel)
    ty = getattr(F, f"conv{rank}d")(tx, tk, **options)
    np.testing.assert_allclose(y, back(ty), rtol=1e-4, atol=1e-4)

    # torch names the transpose's kernel (c_y, c_x / groups, ...): the same tensor. Its
    # output_padding is our shape.
    extra = tuple(
        n - m
        for n, m in zip(
            spatial,
            ops.transpose_shape(
                y.shape[1:-1], size, **{k: v for k, v in ours.items() if k != "groups"}
            ),
            strict=True,
        )
    )
    tx2 = getattr(F, f"conv_transpose{rank}d")(ty, tk, output_padding=extra, **options)
    x2 = jax.jit(functools.partial(ops.conv_transpose, shape=spatial, **ours))(y, kernel)
    np.testing.assert_allclose(x2, back(tx2), rtol=1e-4, atol=1e-3)
