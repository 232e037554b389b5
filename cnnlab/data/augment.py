"""Preparation and augmentation: pure, key-driven functions on batches, for any spatial rank.

Every augmentation is a callable `(batch, *, key, epoch) -> batch` on a prepared batch: `image`
`(b, *spatial, c)` float32, `label` `(b, k)` float32 targets. What happens to an example is drawn
from `fold_in(key, index)` with its position in the split: replicas that get half a batch each draw
what one device draws for the whole. `Mixup` and `CutMix` combine it with the next one.
"""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from cnnlab.arguments import checked
from cnnlab.data import warp
from cnnlab.data.batches import Batch
from cnnlab.data.splits import are_tokens
from cnnlab.data.warp import view_weights, views

__all__ = [
    "AlternatingFlip",
    "Augmentation",
    "Crop",
    "CutMix",
    "Cutout",
    "Flip",
    "Mixup",
    "RandomErasing",
    "augment",
    "normalise",
    "view_weights",
    "views",
]

Epoch = int | Int[Array | np.ndarray, ""]


def normalise(
    image: Shaped[Array | np.ndarray, "*batch c"],
    mean: Float[Array | np.ndarray, "..."],
    std: Float[Array | np.ndarray, "..."],
) -> Shaped[Array, "*batch c"]:
    """`(image - mean) / std` per channel, float32, with the statistics in raw units; tokens as
    int32."""
    if are_tokens(image):
        return jnp.asarray(image, jnp.int32)
    own = lambda v: jnp.broadcast_to(v, image.shape)
    return (jnp.asarray(image, jnp.float32) - own(mean)) / own(std)


class Augmentation(abc.ABC):
    """What the configs of the group `augment` make."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse examples of spatial shape `shape` to which this can't be applied.

        **Raises:** `ValueError`, which begins with an argument's name.
        """
        del shape

    @abc.abstractmethod
    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        """The augmented batch, of the same shapes."""


def augment(
    augmentations: Iterable[Augmentation | Callable[..., Batch]],
    batch: Batch,
    *,
    key: PRNGKeyArray,
    epoch: Epoch,
) -> Batch:
    """Apply augmentations in order, each with a key of its own."""
    for place, one in enumerate(augmentations):
        batch = one(batch, key=jr.fold_in(key, place), epoch=epoch)
    return batch


@checked
@dataclasses.dataclass(frozen=True)
class Crop(Augmentation):
    """Pad every spatial axis by `padding` on both sides, then take a random window of the old size.

    `mode`: what is padded: `"zeros"` (the mean, in normalised images), `"reflect"` (without
    repeating the edge), or `"edge"`.
    """

    padding: int = 2
    mode: warp.Border = "zeros"

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding: expected an integer >= 0, got {self.padding}")

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        shape = batch.image.shape[1:-1]
        self.check(shape)
        shifts = warp.per_example(
            key,
            batch.index,
            lambda k: jr.randint(k, (len(shape),), -self.padding, self.padding + 1),
        )
        return batch._replace(image=warp.shift(batch.image, shifts, self.mode))

    def check(self, shape: tuple[int, ...]) -> None:
        if self.padding >= min(shape):
            raise ValueError(
                f"padding: expected less than the smallest side {min(shape)}, got {self.padding}"
            )


@dataclasses.dataclass(frozen=True)
class Flip(Augmentation):
    """Mirror the last spatial axis (left and right of an image) of half of the examples."""

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        chosen = warp.per_example(key, batch.index, jr.bernoulli)
        return batch._replace(image=warp.flip_where(batch.image, chosen))


@checked
@dataclasses.dataclass(frozen=True)
class AlternatingFlip(Augmentation):
    """Mirror each example in every second epoch: no orientation twice in a row.

    Which epochs, even or odd, is drawn once for each example from `seed` (K. Jordan, 2024,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.6).
    """

    seed: int = 0

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del key
        first = warp.per_example(jr.key(self.seed), batch.index, jr.bernoulli)
        chosen = first ^ (jnp.asarray(epoch) % 2 == 1)
        return batch._replace(image=warp.flip_where(batch.image, chosen))


@checked
@dataclasses.dataclass(frozen=True)
class Cutout(Augmentation):
    """Zero a box of side `size` around a random centre (DeVries and Taylor, 2017).

    Any position may be the centre, so that part of the box may lie outside. Zero is the mean of a
    normalised image.
    """

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: expected an integer >= 1, got {self.size}")

    def check(self, shape: tuple[int, ...]) -> None:
        if self.size > min(shape):
            raise ValueError(
                f"size: expected at most the smallest side {min(shape)}, got {self.size}"
            )

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        shape = batch.image.shape[1:-1]
        centre = warp.per_example(
            key, batch.index, lambda k: jr.randint(k, (len(shape),), 0, jnp.array(shape))
        )
        low = centre - self.size // 2
        inside = warp.box(shape, low, low + self.size)
        return batch._replace(image=jnp.where(inside, 0.0, batch.image))


@checked
@dataclasses.dataclass(frozen=True)
class RandomErasing(Augmentation):
    """Replace a random box by noise, with some probability (Zhong et al., 2017).

    The box covers a share of the image between `area`'s bounds; the first axis is longer than the
    others by a factor between `aspect`'s bounds, drawn log-uniformly. A side that would be longer
    than the image is cut to it. `fill="noise"` puts N(0, 1) there, drawn for each value and shared
    by the examples of a batch; `"zeros"` erases to the mean of a normalised image.
    """

    probability: float | int = 0.25
    area: Sequence[float | int] = (0.02, 0.33)
    aspect: Sequence[float | int] = (0.3, 3.3)
    fill: Literal["noise", "zeros"] = "noise"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: expected 0 to 1, got {self.probability}")
        for name, pair, most in (("area", self.area, 1.0), ("aspect", self.aspect, math.inf)):
            if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
                raise ValueError(f"{name}: expected two numbers 0 < low <= high, got {list(pair)}")
            # From a config comes a list; tuples keep the augmentation hashable.
            object.__setattr__(self, name, tuple(pair))

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        shape = batch.image.shape[1:-1]
        draw, noise = jr.split(key)
        applied, sides, place = warp.per_example(draw, batch.index, lambda k: self._box(k, shape))
        low = jnp.floor(place * (jnp.array(shape) - sides + 1)).astype(jnp.int32)
        inside = warp.box(shape, low, low + sides) & warp.expand(applied, batch.image.ndim)
        # One picture of noise a step: drawing one for each example takes longer than the rest.
        size = batch.image.shape[1:]
        fill = jr.normal(noise, size) if self.fill == "noise" else 0.0
        return batch._replace(image=jnp.where(inside, fill, batch.image))

    def _box(
        self, key: PRNGKeyArray, shape: tuple[int, ...]
    ) -> tuple[Bool[Array, ""], Int[Array, " d"], Float[Array, " d"]]:
        """Whether to erase, the box's sides, and its place in [0, 1)."""
        rank = len(shape)
        keys = jr.split(key, 4)
        applied = jr.bernoulli(keys[0], float(self.probability))
        area = jr.uniform(keys[1], minval=self.area[0], maxval=self.area[1]) * math.prod(shape)
        low, high = (math.log(bound) for bound in self.aspect)
        stretch = jr.uniform(keys[2], minval=low, maxval=high) / 2
        # The exponents sum to zero: stretching keeps the area.
        exponent = np.zeros(rank) if rank == 1 else np.array([1.0] + [-1 / (rank - 1)] * (rank - 1))
        sides = area ** (1 / rank) * jnp.exp(stretch * exponent)
        sides = jnp.clip(jnp.round(sides).astype(jnp.int32), 1, jnp.array(shape))
        return applied, sides, jr.uniform(keys[3], (rank,))


@checked
@dataclasses.dataclass(frozen=True)
class Mixup(Augmentation):
    """Convex combination of each example and its target with the next one of the batch.

    One weight `lam ~ Beta(alpha, alpha)` for the batch (Zhang et al., 2018). The order within a
    training batch is random already, so the next example is a random partner.
    """

    alpha: float | int = 0.2

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha: expected a number > 0, got {self.alpha}")

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        lam = jr.beta(key, self.alpha, self.alpha)
        mix = lambda x: lam * x + (1 - lam) * partner(x)
        return batch._replace(image=mix(batch.image), label=mix(batch.label))


@checked
@dataclasses.dataclass(frozen=True)
class CutMix(Augmentation):
    """Paste a box of the next example of the batch; targets are weighted by area.

    The box covers a share `1 - lam` of the image, `lam ~ Beta(alpha, alpha)`, around a uniformly
    drawn centre, cut at the border; the targets' weight is the share that is really pasted
    (Yun et al., 2019). One box for the batch.
    """

    alpha: float | int = 1.0

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ValueError(f"alpha: expected a number > 0, got {self.alpha}")

    def __call__(self, batch: Batch, *, key: PRNGKeyArray, epoch: Epoch) -> Batch:
        del epoch
        shape = batch.image.shape[1:-1]
        size = jnp.array(shape)
        share_key, centre_key = jr.split(key)
        share = 1 - jr.beta(share_key, self.alpha, self.alpha)
        sides = jnp.round(size * share ** (1 / len(shape))).astype(jnp.int32)
        low = jr.randint(centre_key, size.shape, 0, size) - sides // 2
        inside = warp.box(shape, low[None], (low + sides)[None])
        pasted = inside.mean(dtype=jnp.float32)
        return batch._replace(
            image=jnp.where(inside, partner(batch.image), batch.image),
            label=(1 - pasted) * batch.label + pasted * partner(batch.label),
        )


def partner(x: Shaped[Array | np.ndarray, "b ..."]) -> Shaped[Array, "b ..."]:
    """Each row's partner for mixing: the next row of the batch."""
    return jnp.roll(x, -1, axis=0)
