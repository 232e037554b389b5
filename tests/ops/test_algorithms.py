"""Each algorithm by itself: where its own arithmetic could go wrong, and what it says of itself."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from primitive_cases import arrays, compiled, served

from cnnlab import ops
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops.algorithms import PASSES, REGISTRY, im2col, taps, tiles, winograd
from cnnlab.ops.algorithms.adjoint import phases, transpose_kernel
from cnnlab.ops.problem import describe

LIMIT = 2e-6
COARSE = {"winograd": 2e-5, "native_winograd": 2e-5}
TILED = {"im2col", "taps", "winograd"}


def run(name, problems, values):
    """All passes of all problems by one algorithm, in one program."""

    @compiled
    def everything(values):
        results = []
        for problem, (x, kernel, dy) in zip(problems, values, strict=True):
            operands = {
                "forward": (x, kernel),
                "input_gradient": (dy, kernel),
                "kernel_gradient": (x, dy),
            }
            compute = REGISTRY[name].compute
            results.append([compute(which, *pair, problem) for which, pair in operands.items()])
        return results

    return jax.device_get(everything(values))


def check(name, problems, limit=None):
    """They are what a float64 loop over the taps gives."""
    problems = list(problems)
    assert [REGISTRY[name].refusal(p) for p in problems] == [None] * len(problems)
    values = [arrays(p, seed=i) for i, p in enumerate(problems)]
    limit = limit or COARSE.get(name, LIMIT)
    for problem, value, result in zip(problems, values, run(name, problems, values), strict=True):
        for which, got, expected in zip(PASSES, result, convolution(*value, problem), strict=True):
            assert got.shape == expected.shape and got.dtype == problem.dtype
            assert relative_error(got, expected) <= limit, f"{name} {which} {problem}"


@pytest.mark.parametrize("m", [2, 4])
def test_winograds_transforms_are_the_filter(m):
    """Lavin and Gray's equation 5, and its transpose in the kernel, on arbitrary numbers."""
    b, g, a = winograd._TRANSFORMS[m]
    assert b.shape == (m + 2, m + 2) and g.shape == (m + 2, 3) and a.shape == (m, m + 2)
    rng = np.random.default_rng(m)
    kernel, window, dy = rng.standard_normal(3), rng.standard_normal(m + 2), rng.standard_normal(m)
    y = a @ ((g @ kernel) * (b @ window))
    direct = [sum(kernel[t] * window[i + t] for t in range(3)) for i in range(m)]
    np.testing.assert_allclose(y, direct, rtol=1e-12, atol=1e-12)
    gradient = g.T @ ((b @ window) * (a.T @ dy))
    direct = [sum(dy[i] * window[i + t] for i in range(m)) for t in range(3)]
    np.testing.assert_allclose(gradient, direct, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["winograd", "winograd_f2"])
def test_winograd_where_tiles_do_not_fit(name):
    """Every remainder of the tile, and padding that the input gradient can only crop."""
    pads = [(1, 1), (0, 2), (2, 0), (5, 3), (0, 6), (4, 0)]
    lines = [((2, n, 2), (3, 2, 3), (pad,)) for n in range(1, 8) for pad in pads[n % 3 :: 3]]
    lines = [line for line in lines if line[0][1] + sum(line[2][0]) >= 3]
    planes = [((2, n, 8 - n, 2), (3, 3, 2, 3), ((1, 1), pads[n % 6])) for n in range(1, 8)]
    planes = [p for p in planes if p[0][2] + sum(p[2][1]) >= 3]
    assert len(lines) + len(planes) > 15
    check(name, [describe(x, k, padding=pad) for x, k, pad in lines + planes])


# (input, kernel, stride, dilation, padding) along one axis: what the phases of a transpose meet.
AXES = {
    "stride longer than the kernel": (9, 2, 3, 1, (0, 0)),
    "stride longer than the input": (2, 3, 5, 1, (1, 1)),
    "inputs after the last window": (11, 2, 4, 1, (0, 0)),
    "padding wider than the kernel": (4, 2, 2, 1, (5, 3)),
    "all of it before": (6, 3, 2, 1, (7, 0)),
    "all of it after": (6, 3, 2, 1, (0, 7)),
    "windows that see padding only": (3, 2, 1, 1, (4, 4)),
    "kernel longer than the input": (3, 7, 2, 1, (3, 4)),
    "dilated": (9, 3, 1, 3, (2, 1)),
    "dilated and strided": (11, 3, 2, 3, (2, 4)),
    "dilated and strided, inputs left over": (12, 2, 3, 2, (0, 0)),
    "even kernel": (7, 4, 3, 1, (1, 2)),
    "one position": (1, 1, 1, 1, (0, 0)),
}


def along(axes, channels, groups):
    """A problem with these axes."""
    spatial, kernel, stride, dilation, padding = zip(*axes, strict=True)
    shapes = (2, *spatial, channels[0]), (*kernel, channels[0] // groups, channels[1])
    geometry = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    return describe(*shapes, **geometry)


@pytest.mark.parametrize("name", ["lax", "im2col", "taps", "fft", "fft_overlap_add", "toeplitz"])
def test_strides_dilations_and_paddings_that_leave_something_over(name):
    cases = list(AXES.values())
    pairs = zip(cases, cases[4:] + cases[:4], strict=True)
    problems = [along([axis], (2, 4), 2) for axis in cases]
    check(name, problems + [along(pair, (2, 3), 1) for pair in list(pairs)[::2]])


@pytest.mark.parametrize("name", [n for n in REGISTRY if "native" not in n and n != "pointwise"])
def test_more_padding_than_kernel_on_one_side(name):
    """Whose input gradient crops before and pads after; jaxlib 0.10.1 reads beyond the array."""
    k = 3 if "winograd" in name else 2
    lines = [((4, 7, 3), (k, 3, 6), (pad,)) for pad in ((k + 1, 0), (0, k + 1), (k + 4, k - 2))]
    plane = ((2, 5, 6, 3), (k, k, 3, 4), ((k + 1, 0), (0, k + 2)))
    check(name, [describe(x, kernel, padding=pad) for x, kernel, pad in (*lines, plane)])


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


def test_tiles_are_the_whole():
    """Their results in the order of the examples, and their sum, for any number of them."""
    assert [tiles.tile_size(12, each, 100) for each in (1, 100, 51, 25, 20, 1000)] == [
        12, 1, 1, 4, 4, 1
    ]  # fmt: skip
    assert [tiles.tile_size(n, 40, 100) for n in (1, 2, 7, 0)] == [1, 2, 1, tiles.tile_size(0, 40)]
    f = lambda a, b: a * a + b[:, None]
    for batch in (1, 6, 7):
        a, b = np.arange(3.0 * batch).reshape(batch, 3), np.arange(1.0 * batch) ** 2
        for tile in (n for n in range(1, batch + 1) if batch % n == 0):
            whole = tiles.map_tiles(f, (jnp.asarray(a), jnp.asarray(b)), tile)
            np.testing.assert_array_equal(whole, f(a, b))
            total = tiles.sum_tiles(
                lambda a, b: f(a, b).sum(0), (jnp.asarray(a), jnp.asarray(b)), tile
            )
            np.testing.assert_array_equal(total, f(a, b).sum(0))


@pytest.mark.parametrize("tile", [1, 2, 3])
@pytest.mark.parametrize("small", [s for s in served() if s.name in TILED], ids=str)
def test_any_tile_gives_the_same(monkeypatch, small, tile):
    for module in (im2col, taps, winograd):
        monkeypatch.setattr(module, "tile_size", lambda batch, *_: tile, raising=False)
    check(small.name, [small.at((5, 4, 3)[: small.rank], batch=6)])


def test_a_prime_batch_larger_than_the_cache(monkeypatch):
    """Through `tile_size` itself: seven examples that do not fit together, one at a time."""
    large = describe((7, 48, 48, 32), (3, 3, 32, 32))
    each = im2col._bytes_each(large)
    assert tiles.tile_size(7, each) == 1 and 7 * each > tiles.BUDGET
    check("im2col", [large], limit=1e-5)
    check("winograd", [large], limit=1e-4)


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(
            [((2, 500, 2), (9, 2, 3), {}), ((1, 301, 3), (30, 1, 3), {"groups": 3})], id="1d"
        ),
        pytest.param([((1, 70, 3), (40, 3, 1), {"padding": "CAUSAL", "dilation": 2})], id="reach"),
        pytest.param([((1, 400, 1), (5, 1, 2), {"stride": 3, "dilation": 4})], id="strided"),
        pytest.param([((1, 40, 35, 1), (3, 5, 1, 2), {"padding": "VALID"})], id="2d"),
        pytest.param([((1, 20, 18, 17, 1), (3, 2, 1, 1, 1), {"padding": 1})], id="3d"),
        pytest.param([((2, 5, 1), (12, 1, 2), {"padding": ((11, 9),)})], id="long kernel"),
    ],
)
def test_blocks_overlap_and_add(shapes):
    problems = [describe(x, k, **options) for x, k, options in shapes]
    check("fft_overlap_add", problems)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_taps_for_any_number_of_rows(multiplier):
    """The kernel gradient takes rows eight at a time."""
    lines = [(n, 3, s, d) for n, s, d in [(1, 1, 1), (7, 1, 1), (8, 1, 2), (16, 1, 1), (17, 2, 3)]]
    channels = (3, 3 * multiplier)
    problems = [along([(n, k, s, d, (2, 3))], channels, 3) for n, k, s, d in lines]
    problems += [along([(n, 3, 2, 1, (1, 0)), (5, 2, 1, 2, (0, 2))], channels, 3) for n in (3, 19)]
    problems += [along([(10, 2, 1, 1, (0, 0))] * 2 + [(3, 3, 3, 1, (1, 1))], channels, 3)]
    assert {p.out[0] for p in problems} == {1, 4, 8, 9, 10, 19}
    check("taps", problems)


@pytest.mark.parametrize("small", served(float), ids=str)
def test_float64_is_exact(small):
    with jax.enable_x64(True):
        check(small.name, [dataclasses.replace(small.problem, dtype=np.dtype(float))], 1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("small", [s for s in served() if s.rank < 3], ids=str)
def test_16_bit_results_are_rounded_once(monkeypatch, small, dtype):
    """Values and gradients differ from the exact ones by the last rounding, and no more; also
    where they are sums over tiles."""
    for module in (im2col, taps, winograd):
        monkeypatch.setattr(module, "tile_size", lambda batch, *_: 1, raising=False)
    spatial = (5, 4, 3)[: small.rank]
    problem = small.at(spatial, batch=6, dtype=dtype)
    values = arrays(problem)
    [result] = run(small.name, [problem], [values])
    half_step = float(jnp.finfo(dtype).eps) / 2
    for got, expected in zip(result, convolution(*values, problem), strict=True):
        assert got.dtype == dtype
        noise = 2e-5 * np.max(np.abs(expected))
        difference = np.abs(got.astype(np.float64) - expected)
        assert np.all(difference <= half_step * np.abs(expected) * 1.01 + noise)


def test_complex_numbers_through_lax():
    """Values and gradients; transposes do not conjugate."""
    problem = describe((2, 6, 4), (3, 2, 4), groups=2, stride=2, dtype=np.complex64)
    real, imaginary = arrays(problem, 0, np.float32), arrays(problem, 1, np.float32)
    values = [a + 1j * b for a, b in zip(real, imaginary, strict=True)]

    @compiled
    def passes(x, kernel, dy):
        call = functools.partial(ops.conv, groups=2, stride=2, algorithm="lax")
        transpose = lambda f, like: jax.linear_transpose(f, like)(dy)[0]
        in_x, in_kernel = lambda x: call(x, kernel), lambda k: call(x, k)
        return call(x, kernel), transpose(in_x, x), transpose(in_kernel, kernel)

    for got, wanted in zip(passes(*values), convolution(*values, problem), strict=True):
        assert got.dtype == np.complex64 and np.iscomplexobj(wanted)
        assert relative_error(got, wanted) < LIMIT
