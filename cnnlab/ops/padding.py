"""Padding of the spatial axes with zeros, reflections, repeats or a wrap-around (A 2.5)."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Shaped

from cnnlab.arguments import check_entries, shown, takes_arrays
from cnnlab.ops.window import resolve_padding

PADDING_MODES: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


@takes_arrays
def pad(
    x: Shaped[Array, "*shape c"], pads: Sequence[int | Sequence[int]], mode: str = "zeros"
) -> Shaped[Array, "*padded c"]:
    """Pad the last spatial axes of `x`, `(*batch, *spatial, c)`.

    **Arguments:**

    - `pads`: one entry per spatial axis, each an int or a `(low, high)` pair; its length says how
      many of `x`'s axes before the channels are spatial.
    - `mode`: `"zeros"`, `"reflect"` (mirror without repeating the edge), `"replicate"` (repeat the
      edge) or `"circular"` (wrap around).

    **Raises:** `ValueError`: unknown mode, a negative amount, or more than the axis can give: its
    size for `"circular"`, its size - 1 for `"reflect"`.
    """
    if mode not in PADDING_MODES:
        raise ValueError(f"mode: expected one of {', '.join(PADDING_MODES)}, got {shown(mode)}")
    rank = len(pads)
    if rank < 1 or x.ndim < rank + 1:
        raise ValueError(f"pads: {rank} spatial axes do not fit an array of shape {x.shape}")
    spatial = x.shape[-rank - 1 : -1]
    pairs = resolve_padding(tuple(pads), spatial, 1)
    check_entries("pads", [n + sum(pair) for n, pair in zip(spatial, pairs, strict=True)])
    limits = {"circular": 0, "reflect": 1}
    if mode in limits:
        for i, (n, pair) in enumerate(zip(spatial, pairs, strict=True)):
            if max(pair) > n - limits[mode]:
                raise ValueError(
                    f"pads[{i}]: mode {shown(mode)} can give an axis of {n} at most "
                    f"{n - limits[mode]} more on a side, got {max(pair)}"
                )
    widths = ((0, 0),) * (x.ndim - rank - 1) + pairs + ((0, 0),)
    return jnp.pad(x, widths, mode=PADDING_MODES[mode])
