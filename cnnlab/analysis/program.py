"""A JAX function as its program, which the questions are asked of."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax


def traced(function: Callable[..., Any], *inputs: Any) -> tuple[Any, Any, Any]:
    """What `eqx.filter_make_jaxpr` makes of a function and its inputs.

    **Raises:** `ValueError`: an input of a shape that no array has.
    """
    for leaf in jax.tree.leaves(inputs):
        shape = getattr(leaf, "shape", ())
        if any(isinstance(n, int) and n < 0 for n in shape):
            raise ValueError(f"inputs: expected shapes of sizes >= 0, got {shape}")
    return eqx.filter_make_jaxpr(function)(*inputs)
