"""How far a layer looks: its Jacobian against the Chebyshev distance (A 2.1 to 2.3)."""

import math
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

# Of the largest entry: what a smaller one is counts as rounding, not as dependence.
TOLERANCE = 1e-5


def strength(
    layer: Callable[[Array], Array], xs: Iterable[Float[Array, "*spatial c"]]
) -> Float[np.ndarray, "..."]:
    """`(*out, *spatial)`: the largest `|d y[o, m] / d x[i, c]|` over channels and over the inputs
    `xs`: one is enough for a linear layer; a maximum needs as many as make each of its entries
    win once."""
    flat = jax.jit(
        jax.jacfwd(lambda v, shape: layer(v.reshape(shape)).reshape(-1)), static_argnums=1
    )
    largest = None
    for x in xs:
        *spatial, channels = x.shape
        *out, out_channels = jax.eval_shape(layer, x).shape
        matrix = np.abs(np.asarray(flat(x.reshape(-1), x.shape)))
        blocks = matrix.reshape(math.prod(out), out_channels, math.prod(spatial), channels)
        block = blocks.max((1, 3)).reshape(*out, *spatial)
        largest = block if largest is None else np.maximum(largest, block)
    if largest is None:
        raise ValueError("xs: expected at least one input, got none")
    return largest


def support(
    strength: Float[np.ndarray, "..."], tolerance: float = TOLERANCE
) -> Bool[np.ndarray, "..."]:
    """Which output position depends on which input position: `(*out, *spatial)`."""
    return strength > tolerance * strength.max(initial=0)


def distances(
    out: Sequence[int],
    spatial: Sequence[int],
    *,
    stride: Sequence[int] | None = None,
    centre: Sequence[float] | None = None,
) -> Float[np.ndarray, "..."]:
    """`(*out, *spatial)`: the Chebyshev distance `max_a |centre_a + stride_a o_a - i_a|` (A 2.1).

    **Arguments:** where output position `o` lies in the input: `stride` (default 1) and `centre`
    (default 0), of `cnnlab.analysis.fields.Field`.
    """
    rank = len(spatial)
    stride = (1,) * rank if stride is None else stride
    centre = (0.0,) * rank if centre is None else centre
    largest = np.zeros((*out, *spatial))
    for axis in range(rank):
        at = centre[axis] + stride[axis] * np.arange(out[axis])
        apart = np.abs(at[:, None] - np.arange(spatial[axis]))
        others = [a for a in range(2 * rank) if a % rank != axis]
        largest = np.maximum(largest, np.expand_dims(apart, others))
    return largest


def radius(support: Bool[np.ndarray, "..."], distances: Float[np.ndarray, "..."]) -> float:
    """The smallest `k` for which the layer is local (A 2.3): the largest distance at which an
    output depends on an input; 0 where nothing depends on anything."""
    return float(distances[support].max(initial=0))


def profile(
    strength: Float[np.ndarray, "..."], distances: Float[np.ndarray, "..."]
) -> dict[float, float]:
    """The largest strength at each distance, as a share of the largest of all."""
    top = strength.max()
    found = np.unique(distances)
    return {float(d): float(strength[distances == d].max() / top) for d in found}


def random_inputs(shape: Sequence[int], n: int, seed: int) -> list[Float[Array, "..."]]:
    """`n` normal inputs of a shape, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(tuple(shape)), jnp.float32) for _ in range(n)]
