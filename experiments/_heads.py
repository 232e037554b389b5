"""Heads that pool over all positions and one that flattens, on one backbone: training, then tests
on shifted and resized images."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import ops
from cnnlab.analysis import count_parameters
from cnnlab.data import Dataset
from cnnlab.lab.study import Study, Trained

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is trained, and what it is tested on beside the test images as they are.

    - `overrides`: of `experiments.train`, but for the head's pooling.
    - `shifts`: pixels by which images are moved, in all four directions.
    - `sizes`: side lengths to which they are resized.
    """

    overrides: Sequence[str]
    data: Dataset
    shifts: Sequence[int]
    sizes: Sequence[int]

    @functools.cached_property
    def studies(self) -> dict[str, Study]:
        """By pooling, those that were needed so far."""
        return {}

    def study(self, pool: str) -> Study:
        """The networks with a head of this pooling."""
        if pool not in self.studies:
            self.studies[pool] = Study([*self.overrides, f"head.pool={pool}"], data=self.data)
        return self.studies[pool]

    def parameters(self, pool: str) -> dict[str, int]:
        """Of the two parts of a network."""
        model = self.study(pool).experiment.model
        return {"backbone": count_parameters(model.backbone), "head": count_parameters(model.head)}

    def run(self, pool: str, seed: int) -> dict[str, Any]:
        """Train one network; its accuracies as shares, null where the network takes no such
        image."""
        study = self.study(pool)
        trained = study.train(seed)
        plain = study.evaluate(trained)
        moved = {d: self._moved(study, trained, d) for d in self.shifts}
        changed = lambda found: float((found.predicted != plain.predicted).mean())
        native = self.data.input_shape[0]
        return {
            "accuracy": plain.accuracy,
            "train_accuracy": trained.accuracy,
            "shifts": {str(d): _mean(e.accuracy for e in moved[d]) for d in self.shifts},
            "changed": {str(d): _mean(changed(e) for e in moved[d]) for d in self.shifts},
            "sizes": {str(s): self._resized(study, trained, s) for s in self.sizes},
            "back": {
                str(s): study.evaluate(
                    trained, lambda x, s=s: resize(resize(x, s), native), f"{s} and back"
                ).accuracy
                for s in self.sizes
            },
        }

    @staticmethod
    def _moved(study: Study, trained: Trained, distance: int) -> list[Any]:
        return [
            study.evaluate(
                trained,
                lambda x, by=(dy * distance, dx * distance): shift(x, *by),
                f"moved by {dy * distance}, {dx * distance}",
            )
            for dy, dx in DIRECTIONS
        ]

    def _resized(self, study: Study, trained: Trained, size: int) -> float | None:
        if not takes(trained.model, trained.state, (size, size, self.data.input_shape[-1])):
            return None
        return study.evaluate(trained, lambda x: resize(x, size), f"{size} x {size}").accuracy


def takes(model: Any, state: eqx.nn.State, shape: tuple[int, ...]) -> bool:
    """Whether a network can be called with inputs of this shape; nothing is computed."""
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        eqx.filter_eval_shape(eqx.nn.inference_mode(model), x, state)
    except ValueError:
        return False
    return True


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images `(n, h, w, c)` moved by whole pixels; what comes in is 0, the background."""
    h, w = images.shape[1:3]
    pad = ((0, 0), (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)), (0, 0))
    top, left = max(-down, 0), max(-right, 0)
    return np.pad(images, pad)[:, top : top + h, left : left + w]


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Images `(n, h, w, c)` as `(n, size, size, c)` float32: bilinear, smoothed when shrunk."""
    x = jnp.asarray(images, jnp.float32)
    return np.asarray(_resize(x, (len(x), size, size, x.shape[-1])))


@functools.partial(jax.jit, static_argnums=1)
def _resize(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.image.resize(x, shape, "bilinear")


def pooled_error(kind: str, seed: Sequence[int]) -> float:
    """How much a global pooling changes when the positions of a random map are permuted, relative
    to the mean size of what it pools: 0 up to rounding (A 4.4)."""
    generator = np.random.default_rng(list(seed))
    h, w, c = generator.integers(2, 15, 3)
    x = generator.standard_normal((h * w, c)).astype(np.float32)
    pool: Callable[[Any], Any] = lambda v: ops.global_pool(
        jnp.asarray(v.reshape(1, h, w, c)), kind, 2
    )
    before, after = pool(x), pool(generator.permutation(x))
    scale = np.abs(x).sum(0) if kind == "sum" else np.abs(x).mean(0)
    return float(np.max(np.abs(np.asarray(after - before)) / scale))


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
