"""Networks with each head on moved and on resized images."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from cnnlab import lab, ops
from cnnlab.lab import Counts, Study

Sides = Annotated[Sequence[int], "list of at least 1 whole numbers >= 4"]


POOLS = ("avg", "max", "sum")


FLATTEN = "flatten"


def tests(study: Study, seed: int, shifts: Counts, sizes: Sides) -> Iterator[dict[str, Any]]:
    """Train one network. Its accuracy on the test images, moved (the mean of four directions) and
    resized ones: `None` where it takes no such image; and the share of labels that change."""
    trained, side = study.train(seed), study.data.input_shape[0]
    plain = study.evaluate(trained)
    right = lab.pack(plain.predicted == plain.label)
    yield {"images": "training", "by": 0, "accuracy": trained.accuracy}
    yield {"images": "test", "by": 0, "accuracy": plain.accuracy, "right": right}
    for n in shifts:
        found = [
            study.evaluate(trained, lambda x, by=by: shift(x, *by), f"moved by {by}")
            for by in ((0, n), (0, -n), (n, 0), (-n, 0))
        ]
        accuracy = float(np.mean([e.accuracy for e in found]))
        changed = float(np.mean([e.predicted != plain.predicted for e in found]))
        yield {"images": "moved", "by": n, "accuracy": accuracy, "changed": changed}
    for size in sizes:
        there = lambda x, size=size: resize(x, size)
        back = lambda x, size=size: resize(resize(x, size), side)
        try:
            accuracy = study.evaluate(trained, there, f"to {size}").accuracy
        except ValueError:
            accuracy = None
        yield {"images": "resized", "by": size, "accuracy": accuracy}
        accuracy = study.evaluate(trained, back, f"to {size} and back").accuracy
        yield {"images": "resized back", "by": size, "accuracy": accuracy}


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images `(n, h, w, c)` moved by whole pixels; what comes in is 0, the background."""
    return ndimage.shift(images, (0, down, right, 0), order=0)


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Images `(n, h, w, c)` as `(n, size, size, c)` float32: bilinear, smoothed when shrunk."""
    shape = (len(images), size, size, images.shape[-1])
    bilinear = jax.jit(jax.image.resize, static_argnums=(1, 2))
    return np.asarray(bilinear(jnp.asarray(images, jnp.float32), shape, "bilinear"))


def pooled_error(pool: str, seed: Sequence[int]) -> float:
    """How much a global pooling changes when the positions of a random map are permuted, relative
    to the mean size of what it pools: 0 up to rounding (A 4.4)."""
    generator = np.random.default_rng(list(seed))
    h, w, c = generator.integers(2, 15, 3)
    x = generator.standard_normal((h * w, c)).astype(np.float32)
    features = lambda v: ops.global_pool(jnp.asarray(v.reshape(1, h, w, c)), pool, 2)
    before, after = features(x), features(generator.permutation(x))
    scale = np.abs(x).sum(0) if pool == "sum" else np.abs(x).mean(0)
    return float(np.max(np.abs(np.asarray(after - before)) / scale))
