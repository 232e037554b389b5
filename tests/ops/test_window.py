"""Padding and output shapes: B eq. 10.7, generalised."""

import jax
import jax.numpy as jnp
import numpy as np
import ops_reference as reference
import pytest
from hypothesis import given
from jax import lax

from cnnlab import ops


@given(reference.cases())
def test_output_shape_counts_the_windows(case):
    options = {k: v for k, v in case.options.items() if k != "groups"}
    expected = reference.windows(case.spatial, case.kernel, case.stride, case.pads, case.dilation)
    assert ops.output_shape(case.spatial, case.kernel, **options) == expected
    pads = ops.resolve_padding(case.padding, case.spatial, case.kernel, case.stride, case.dilation)
    assert pads == case.pads


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_is_xlas_and_gives_a_stride_th_of_the_input(n, k, stride):
    assert ops.output_shape((n,), k, stride=stride) == (-(-n // stride),)
    assert list(ops.resolve_padding("SAME", (n,), k, stride)) == list(
        lax.padtype_to_pads((n,), (k,), (stride,), "SAME")
    )


def test_equation_10_7():
    # W = 32, K = 5, P = 2, S = 3: floor((32 - 5 + 4) / 3) + 1
    assert ops.output_shape((32, 32), 5, stride=3, padding=2) == (11, 11)


def test_shapes_of_the_chapter():
    # A 3.4: 64 filters of 5x5 on 16 RGB images keep the size with "same".
    x = jax.ShapeDtypeStruct((16, 32, 32, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((5, 5, 3, 64), jnp.float32)
    assert jax.eval_shape(ops.conv, x, kernel).shape == (16, 32, 32, 64)
    # A 2.5: without padding (h - 2k, w - 2k).
    assert ops.output_shape((32, 32), 5, padding="VALID") == (28, 28)


def test_per_axis_padding_forms():
    assert ops.resolve_padding(1, (4, 4), 3) == ((1, 1), (1, 1))
    assert ops.resolve_padding((1, 2), (4, 4), 3) == ((1, 1), (2, 2))
    assert ops.resolve_padding((1, (0, 2)), (4, 4), 3) == ((1, 1), (0, 2))
    assert ops.resolve_padding("CAUSAL", (9,), 3, 1, 2) == ((4, 0),)


@given(reference.cases())
def test_default_transposed_shape_is_inverted_by_output_shape(case):
    options = {k: v for k, v in case.options.items() if k != "groups"}
    out = ops.output_shape(case.spatial, case.kernel, **options)
    try:
        shape = ops.transpose_shape(out, case.kernel, **options)
    except ValueError as error:
        assert str(error).startswith("padding[")
    else:
        assert ops.output_shape(shape, case.kernel, **options) == out


MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("shape", "pads"),
    [((2, 5, 3), ((2, 1),)), ((4, 3, 2), ((1, 2), (2, 0))), ((1, 2, 3, 4, 1), (1, 2, (0, 3)))],
)
def test_pad_modes(mode, shape, pads):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    widths = [(0, 0)] * (len(shape) - len(pads) - 1)
    widths += [(p, p) if isinstance(p, int) else p for p in pads] + [(0, 0)]
    expected = np.pad(x, widths, mode=MODES[mode])
    np.testing.assert_array_equal(ops.pad(jnp.asarray(x), pads, mode), expected)


def test_circular_padding_commutes_with_rotation():
    # A 3.1: with a circular border the layer is exactly equivariant.
    x, kernel = reference.normal(6, 5, 2), reference.normal(3, 3, 2, 2, seed=1)

    @jax.jit
    def layer(x):
        return ops.conv(ops.pad(x, (1, 1), "circular"), kernel, padding="VALID")

    shifted = layer(jnp.roll(x, (2, 3), (0, 1)))
    np.testing.assert_allclose(shifted, jnp.roll(layer(x), (2, 3), (0, 1)), rtol=1e-6, atol=1e-6)


def test_a_window_holds_what_the_arguments_say():
    window = ops.Window.of(2, 3, stride=(2, 1), padding=[1, (0, 2)], dilation=2)
    assert window == ops.Window((3, 3), (2, 1), ((1, 1), (0, 2)), (2, 2))
    assert (window.rank, window.taps, window.extent) == (2, 9, (5, 5))
    assert window.at((9, 8)) == window and hash(window) == hash(window.at((9, 8)))
    assert window.padded((9, 8)) == (11, 10) and window.output_shape((9, 8)) == (4, 6)
    assert ops.output_shape((9, 8), window.size, **window.arguments) == (4, 6)
    with pytest.raises(ValueError, match=r"^spatial: expected an int or 2 of them"):
        window.output_shape((9, 8, 7))


@given(reference.cases(groups=False))
def test_an_output_reads_what_its_taps_reach(case):
    options = {k: v for k, v in case.options.items() if k != "groups"}
    window = ops.Window.of(len(case.spatial), case.kernel, **options)
    positions = np.arange(np.prod(case.spatial)).reshape(*case.spatial, 1) + 1
    columns = reference.unfold(positions[None], case.kernel, **{**options, "padding": case.pads})
    padded = np.pad(positions[..., 0], case.pads)
    reads = window.reads(window.output_shape(case.spatial))
    for out in np.ndindex(*(len(r) for r in reads)):
        own = padded[np.ix_(*(r[o] for r, o in zip(reads, out, strict=True)))]
        np.testing.assert_array_equal(own.ravel(), columns[(0, *out)])
