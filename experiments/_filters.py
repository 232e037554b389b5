"""Measurements of `filters`: on photographs, on edges, lines and ramps, and of A 3.5's indices."""

import base64
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.signal import convolve2d

from cnnlab import ops
from cnnlab.analysis import filters

GREY = {name: filters.grey(kernel) for name, kernel in filters.GREY.items()}
RED = filters.red(filters.VERTICAL)
LEVELS = 255
# Bounds of a window's range, in grey levels, between which responses are averaged.
BINS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
COLOURS = {
    "".join(name): np.array([c in name for c in "RGB"], float)
    for n in range(4)
    for name in itertools.combinations("RGB", n)
}
ANGLES = tuple(range(0, 360, 15))


def load(name: str) -> np.ndarray:
    """A photograph of scikit-learn, `(h, w, 3)`, whole numbers 0 to 255."""
    from sklearn.datasets import load_sample_image

    return load_sample_image(name).astype(np.float32)


def photograph(image: np.ndarray, tile: int, rng: np.random.Generator) -> dict[str, Any]:
    """All that is counted on one photograph; responses are whole numbers, and exact."""
    grey = np.round(image.mean(-1, keepdims=True))
    channel = {**dict.fromkeys(GREY, grey), "red": image[..., :1]}
    maps = {name: filters.activation_map(jnp.asarray(grey), k) for name, k in GREY.items()}
    maps["red"] = filters.activation_map(jnp.asarray(image), RED)
    repainted = image.copy()
    repainted[..., 1:] = rng.integers(0, LEVELS + 1, repainted[..., 1:].shape)
    other = filters.activation_map(jnp.asarray(repainted), RED)
    found: dict[str, Any] = {
        "repainted": int((other != maps["red"]).sum()),
        "positions": other.size,
        "flat": {name: _flatness(z, channel[name], name) for name, z in maps.items()},
        "explained": {
            name: list(_explained(maps[name], channel[name][..., 0], tile))
            for name in ("vertical", "horizontal", "red")
        },
        "fir": _fir(grey),
    }
    return found


def _flatness(z: np.ndarray, image: np.ndarray, name: str) -> dict[str, Any]:
    """Responses by the range of the window: their number, and the mean of their magnitude as a
    share of the largest possible."""
    largest = 8 if name == "ridge" else 3  # the sum of the positive weights
    spread = filters.local_range(jnp.asarray(image))
    found = {
        "windows": z.size,
        "flat": int((spread == 0).sum()),
        "flat_nonzero": int((z[spread == 0] != 0).sum()),
        "beyond": int((np.abs(z) > largest * spread).sum()),
    }
    inside = [(spread >= low) & (spread < high) for low, high in itertools.pairwise(BINS)]
    share = np.abs(z) / (largest * LEVELS)
    means = [float(share[i].mean()) if i.any() else None for i in inside]
    return {**found, "counts": [int(i.sum()) for i in inside], "means": means}


def _explained(z: np.ndarray, image: np.ndarray, tile: int) -> Iterator[tuple[float, float]]:
    """Of every tile, the share of the response's variance that the derivative along the columns
    (horizontal) and that along the rows (vertical) explain, each by itself: squared correlations.

    Derivatives are central differences at the same positions.
    """
    across = (image[1:-1, 2:] - image[1:-1, :-2]) / 2
    down = (image[2:, 1:-1] - image[:-2, 1:-1]) / 2
    for i, j in itertools.product(*(range(0, n - tile + 1, tile) for n in z.shape)):
        part = (slice(i, i + tile), slice(j, j + tile))
        a, b, c = (v[part].ravel().astype(float) for v in (z, across, down))
        if min(a.std(), b.std(), c.std()) > 0:
            yield float(np.corrcoef(a, b)[0, 1] ** 2), float(np.corrcoef(a, c)[0, 1] ** 2)


def _fir(grey: np.ndarray) -> dict[str, int]:
    """The layer with a reversed kernel against SciPy's convolution, at all positions."""
    differ = compared = 0
    for name, kernel in filters.GREY.items():
        z = filters.activation_map(jnp.asarray(grey), GREY[name], flip=True)
        expected = convolve2d(grey[..., 0], kernel, "valid")
        differ, compared = differ + int((z != expected).sum()), compared + z.size
    return {"differ": differ, "compared": compared}


def picture(image: np.ndarray, crop: Sequence[int]) -> dict[str, Any]:
    """The middle of a photograph and its four activation maps."""
    starts = [max(0, (n - c) // 2) for n, c in zip(image.shape, crop, strict=False)]
    part = image[tuple(slice(s, s + c) for s, c in zip(starts, crop, strict=True))]
    grey = jnp.asarray(np.round(part.mean(-1, keepdims=True)))
    maps = {name: filters.activation_map(grey, kernel) for name, kernel in GREY.items()}
    maps["red"] = filters.activation_map(jnp.asarray(part), RED)
    return {name: pack(pixels) for name, pixels in {"photograph": part, **maps}.items()}


def pack(array: np.ndarray) -> dict[str, Any]:
    """Whole numbers as a JSON object of two bytes each: `_filters_draw.unpack` is its inverse."""
    text = base64.b64encode(array.astype("<i2").tobytes()).decode()
    return {"shape": list(array.shape), "int16": text}


def synthetic() -> dict[str, Any]:
    """Responses in the middle of edges, lines and ramps of contrast 1."""
    middle = lambda z: float(z[z.shape[0] // 2, z.shape[1] // 2])
    respond = lambda name, image: filters.activation_map(
        jnp.asarray(image, jnp.float32)[..., None], GREY[name]
    )
    lines = {}
    for angle in (0, 45, 90, 135):
        z, bright = (
            respond("ridge", filters.line(float(angle))),
            filters.line(float(angle))[1:-1, 1:-1],
        )
        lines[angle] = {
            "on": float(z[bright == 1].min()),
            "off": float(z[bright == 0].max()),
            "edge": float(respond("ridge", filters.edge(float(angle), size=10)).max()),
        }
    names = ("vertical", "horizontal")
    return {
        "edges": {n: [middle(respond(n, filters.edge(float(a)))) for a in ANGLES] for n in names},
        "lines": lines,
        "ramps": {
            n: {
                "down": middle(respond(n, filters.ramp(1.0, 0.0))),
                "right": middle(respond(n, filters.ramp(0.0, 1.0))),
            }
            for n in (*names, "ridge")
        },
        "colours": [
            [left, right, _coloured(COLOURS[left], COLOURS[right])]
            for left, right in itertools.permutations(COLOURS, 2)
        ],
    }


def _coloured(left: np.ndarray, right: np.ndarray) -> float:
    """The largest response, by magnitude, of the red filter at an edge between two colours."""
    image = np.stack([np.tile([a, a, b, b], (4, 1)) for a, b in zip(left, right, strict=True)], -1)
    z = filters.activation_map(jnp.asarray(image, jnp.float32), RED)
    return float(z.ravel()[np.abs(z).argmax()])


def indices(rng: np.random.Generator) -> dict[str, int]:
    """A 3.5's sum at all positions of a random image: where it is defined as it is printed, and
    whether it is then the sum with the indices exchanged, which is the layer's."""
    k, channels = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    size = 2 * k + 1
    shape = tuple(int(n) for n in rng.integers(size, size + 6, 2))
    x = rng.integers(-3, 4, (*shape, channels)).astype(float)
    weights = rng.integers(-3, 4, (size, size, 2, channels)).astype(float)
    layer = ops.conv(
        *(jnp.asarray(a, jnp.float32) for a in (x, np.moveaxis(weights, 2, 3))), algorithm="lax"
    )
    found = dict.fromkeys(("positions", "undefined", "defined_differ", "layer_differ"), 0)
    for i, j in np.ndindex(*shape):
        found["positions"] += 1
        value = filters.indexed_sum(x, weights, i + 1, j + 1, printed=False)
        found["layer_differ"] += int((value != np.asarray(layer[i, j])).any())
        try:
            printed = filters.indexed_sum(x, weights, i + 1, j + 1, printed=True)
        except ValueError:
            found["undefined"] += 1
        else:
            found["defined_differ"] += int((printed != value).any())
    return found
