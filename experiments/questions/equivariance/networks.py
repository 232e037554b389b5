"""Whole networks on translated images, before and after training."""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from cnnlab.data.augment import normalise
from cnnlab.lab import Records, Study

# Three networks of A 4.8 that differ in padding and head, and one without any stride.
EXACT, CIRCULAR, ZEROS, FLAT = (
    "stride 1, circular, average",
    "pooled, circular, average",
    "pooled, zeros, average",
    "pooled, zeros, flatten",
)
NETWORKS = (EXACT, CIRCULAR, ZEROS, FLAT)


class Runner:
    """A network's scores of the test images, moved; compiled once for all seeds."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        """**Arguments:** `settings`, of the study, but for the network's own."""
        _, padding, pool = name.split(", ")
        self.stride = 1 if name == EXACT else 4
        self.study = study = Study({
            "backbone": "vgg", "head": "linear", "norm": "batch",
            "backbone.plan": [8, 8, 8] if name == EXACT else [16, "M", 32, "M", 32],
            "conv.padding_mode": padding, "head.pool": pool.replace("average", "avg"), **settings,
        })  # fmt: skip
        memory = study.data.test.in_memory()
        self.images, self.label = np.asarray(memory.image), np.asarray(memory.label)

        @eqx.filter_jit
        def scores(model: Any, state: Any, images: jax.Array) -> jax.Array:
            images = normalise(images, study.data.mean, study.data.std)
            return eqx.nn.inference_mode(model)(images, state)[0]

        self._scores = scores

    def measure(self, seed: int, shifts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The network of a seed before and after training, on images that are moved by 0 and by
        the shifts along every axis of a torus."""
        trained = self.study.train(seed)
        axes = tuple(range(1, self.images.ndim - 1))
        for when, network in (("before", self.study.initial(seed)), ("after", trained[:2])):
            moved = (np.roll(self.images, (t,) * len(axes), axes) for t in (0, *shifts))
            scores = [np.asarray(self._scores(*network, images)) for images in moved]
            for shift, found in zip((0, *shifts), scores, strict=True):
                facts = {"stride": self.stride, "when": when, "shift": shift}
                yield {**facts, **compare(found, scores[0], self.label)}


def compare(scores: np.ndarray, unmoved: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Scores `(n, k)` of moved images, against those of the same ones where they were: `change`,
    the largest of a score relative to the largest score; `same`, the share of images that keep
    their class; and the `accuracy`."""
    predicted = scores.argmax(-1)
    return {
        "accuracy": float((predicted == label).mean()),
        "change": float(np.abs(scores - unmoved).max() / np.abs(unmoved).max()),
        "same": float((predicted == unmoved.argmax(-1)).mean()),
    }


def lost(networks: Records, name: str) -> list[float]:
    """Of every seed: accuracy without a shift less the mean over the shifts."""
    accuracy = networks.where(network=name, when="after").by("seed", of="accuracy").values()
    return [first - sum(others) / len(others) for first, *others in accuracy]
