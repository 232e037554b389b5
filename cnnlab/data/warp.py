"""Moving, mirroring and masking batches `(b, *spatial, c)`, each example in its own way.

Computed with masks and gathers of whole rows for any number of spatial axes; no loop over examples.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

Border = Literal["zeros", "reflect", "edge"]
_Drawn = TypeVar("_Drawn", bound=Array | tuple[Array, ...])


def per_example(
    key: PRNGKeyArray, index: Int[Array | np.ndarray, " b"], draw: Callable[[PRNGKeyArray], _Drawn]
) -> _Drawn:
    """`draw(key)` for each example, with a key that depends on its position in the split; its
    arrays `(...)` become `(b, ...)`."""
    return jax.vmap(lambda i: draw(jr.fold_in(key, i)))(jnp.asarray(index))


def expand(x: Shaped[Array, " b"], ndim: int) -> Shaped[Array, "b ..."]:
    """Append axes of length 1 up to `ndim` axes."""
    return x.reshape(-1, *(1,) * (ndim - 1))


def flip_where(
    image: Float[Array | np.ndarray, "b *spatial c"], chosen: Bool[Array, " b"]
) -> Float[Array, "b *spatial c"]:
    """Mirror the last spatial axis of the chosen examples."""
    n = image.shape[-2]
    place = jnp.arange(n)
    # A gather and not a select of the mirrored image: XLA would compute what comes before twice.
    place = jnp.where(chosen[:, None], n - 1 - place, place)
    return take_along(image, place, image.ndim - 2)


def box(
    shape: tuple[int, ...], low: Int[Array, "b d"], high: Int[Array, "b d"]
) -> Bool[Array, "b ..."]:
    """`(b, *shape, 1)`: whether a position lies in its example's box `low <= position < high`."""
    inside = jnp.ones((1,) * (len(shape) + 2), bool)
    for axis, n in enumerate(shape):
        place = jnp.arange(n)
        along = (low[:, axis, None] <= place) & (place < high[:, axis, None])
        inside = inside & along_axis(along, len(shape) + 2, axis + 1)
    return inside


def shift(
    image: Float[Array | np.ndarray, "b *spatial c"],
    shifts: Int[Array, "b d"],
    mode: Border,
) -> Float[Array, "b *spatial c"]:
    """`out[b, i, j, ..] = image[b, i + shifts[b, 0], j + shifts[b, 1], ..]`, padded by `mode`."""
    image = jnp.asarray(image)
    for axis in range(shifts.shape[1]):
        n = image.shape[axis + 1]
        place = jnp.arange(n) + shifts[:, axis, None]
        if mode == "reflect":
            place = n - 1 - jnp.abs(n - 1 - jnp.abs(place))
        taken = jnp.clip(place, 0, n - 1)
        image = take_along(image, taken, axis + 1)
        if mode == "zeros":
            image = jnp.where(along_axis(place == taken, image.ndim, axis + 1), image, 0.0)
    return image


def take_along(
    image: Shaped[Array | np.ndarray, "b ..."], place: Int[Array, "b n"], axis: int
) -> Shaped[Array, "b ..."]:
    """`out[b, .., i, ..] = image[b, .., place[b, i], ..]` along one axis."""
    return jax.vmap(lambda x, at: jnp.take(x, at, axis=axis - 1, mode="clip"))(image, place)


def along_axis(x: Shaped[Array, "b n"], ndim: int, axis: int) -> Shaped[Array, "b ..."]:
    """`(b, n)` as `(b, 1, .., n, .., 1)` with `n` at `axis`."""
    shape = [1] * ndim
    shape[0], shape[axis] = x.shape
    return x.reshape(shape)


VIEWS = ("none", "flip", "shift")


def views(image: Shaped[Array, "b *shape"], kind: str = "flip") -> Shaped[Array, "v b *shape"]:
    """Test-time views of a batch, to average predictions over with `view_weights(kind)`.

    - `"none"`: the images themselves.
    - `"flip"`: and their mirror images.
    - `"shift"`: both, in place and moved by one position along every axis, there and back, with
      reflected borders: the six views of airbench (K. Jordan, 2024).

    **Raises:** `ValueError`: another kind.
    """
    if kind not in VIEWS:
        raise ValueError(f"tta: expected one of {', '.join(VIEWS)}, got {kind!r}")
    if kind == "none":
        return image[None]
    both = lambda x: [x, jnp.flip(x, axis=-2)]
    if kind == "flip":
        return jnp.stack(both(image))
    ones = jnp.ones((image.shape[0], image.ndim - 2), jnp.int32)
    moved = [shift(image, direction * ones, "reflect") for direction in (-1, 1)]
    return jnp.stack([view for x in (image, *moved) for view in both(x)])


def view_weights(kind: str = "flip") -> Float[np.ndarray, " v"]:
    """Weights of `views(image, kind)` that sum to 1: half for the unmoved ones, as airbench."""
    if kind not in VIEWS:
        raise ValueError(f"tta: expected one of {', '.join(VIEWS)}, got {kind!r}")
    weights = {"none": [1.0], "flip": [0.5, 0.5], "shift": [0.25, 0.25] + [0.125] * 4}[kind]
    return np.array(weights, np.float32)
