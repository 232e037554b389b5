"""Arrays as vectors and back, in row-major order (A 1.3, A 1.4)."""

import math
from collections.abc import Sequence

from jaxtyping import Array, Shaped

from cnnlab.arguments import shown, takes_arrays, to_tuple


@takes_arrays
def vect(x: Shaped[Array, "*dims"], axes: int | None = None) -> Shaped[Array, "*batch size"]:
    """`vect(X)`: the last `axes` axes of `x` as one, in row-major order (A 1.3).

    **Arguments:**

    - `x`: `(*batch, *shape)`.
    - `axes`: how many axes `shape` has; None is all of `x`.

    **Returns:** `(*batch, prod(shape))`.

    **Raises:** `ValueError`: more axes than `x` has.
    """
    axes = x.ndim if axes is None else axes
    if not (isinstance(axes, int) and 0 <= axes <= x.ndim):
        raise ValueError(f"axes: expected 0 to {x.ndim} for shape {x.shape}, got {shown(axes)}")
    batch = x.shape[: x.ndim - axes]
    return x.reshape(*batch, math.prod(x.shape[x.ndim - axes :]))


@takes_arrays
def unvect(v: Shaped[Array, "*batch size"], shape: Sequence[int]) -> Shaped[Array, "*dims"]:
    """`unvect(v)`: the last axis as an array of `shape` again; `unvect(vect(X), X.shape)` is `X`.

    **Arguments:**

    - `v`: `(*batch, prod(shape))`.

    **Returns:** `(*batch, *shape)`.

    **Raises:** `ValueError`: a shape with another number of entries.
    """
    shape = to_tuple("shape", tuple(shape), len(shape), minimum=0)
    if v.ndim == 0 or v.shape[-1] != math.prod(shape):
        raise ValueError(f"shape: {shape} has {math.prod(shape)} entries, v is {v.shape}")
    return v.reshape(*v.shape[:-1], *shape)
