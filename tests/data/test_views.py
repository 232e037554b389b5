"""What a network is given of an example: normalised, and in several views."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.data.augment import normalise, view_weights, views


def test_normalise():
    raw = np.random.RandomState(0).randint(0, 256, (5, 4, 3, 2)).astype(np.uint8)
    mean, std = np.array([10, 20], np.float32), np.array([2, 4], np.float32)
    got = normalise(raw, mean, std)
    np.testing.assert_allclose(got, (raw.astype(np.float64) - mean) / std, rtol=1e-6)
    assert got.dtype == jnp.float32


@pytest.mark.parametrize("shape", [(9, 2), (7, 6, 1), (4, 5, 3, 2)])
def test_views(shape):
    plain = np.random.RandomState(0).rand(12, *shape).astype(np.float32)
    image = jnp.asarray(plain)
    np.testing.assert_array_equal(views(image, "none"), plain[None])
    np.testing.assert_array_equal(views(image, "flip"), [plain, plain[..., ::-1, :]])
    got = np.asarray(views(image, "shift"))
    pads = [(0, 0), *[(1, 1)] * (len(shape) - 1), (0, 0)]
    padded = np.pad(plain, pads, "reflect")
    low = padded[(slice(None), *(slice(0, n) for n in shape[:-1]))]
    high = padded[(slice(None), *(slice(2, 2 + n) for n in shape[:-1]))]
    want = [v for x in (plain, low, high) for v in (x, x[..., ::-1, :])]
    np.testing.assert_array_equal(got, want)
    for kind in ("none", "flip", "shift"):
        assert len(view_weights(kind)) == len(views(image, kind))
        assert view_weights(kind).sum() == 1


def test_unknown_views():
    with pytest.raises(ValueError, match=r"^tta: expected one of none, flip, shift.*'all'"):
        views(jnp.zeros((1, 2, 1)), "all")
