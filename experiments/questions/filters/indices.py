"""The sum of A 3.5 with its indices as they are printed, and exchanged."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cnnlab import ops


def offset(m: int, k: int) -> int:
    """`t(m) = m - k - 1` of A 3.5.

    **Raises:** `ValueError` for an `m` that it is not defined for: outside `1 ... 2k + 1`.
    """
    if not 1 <= m <= 2 * k + 1:
        raise ValueError(f"m: expected 1 to {2 * k + 1}, got {m}")
    return m - k - 1


def indexed_sum(
    x: Float[np.ndarray, "h w c"],
    weights: Float[np.ndarray, "s s c_out c"],
    i: int,
    j: int,
    *,
    printed: bool,
) -> Float[np.ndarray, " c_out"]:
    """The sum of A 3.5 at one position, `i` and `j` counted from 1, zeros around `x`.

    **Arguments:** `printed`: read `X[i' + t(i), j' + t(j)]`, as the chapter prints it; else
    `X[i + t(i'), j + t(j')]`.

    **Raises:** `ValueError` where `t` is not defined.
    """
    size = weights.shape[0]
    k = size // 2
    total = np.zeros(weights.shape[2])
    for i2 in range(1, size + 1):
        for j2 in range(1, size + 1):
            if printed:
                row, column = i2 + offset(i, k), j2 + offset(j, k)
            else:
                row, column = i + offset(i2, k), j + offset(j2, k)
            if 1 <= row <= x.shape[0] and 1 <= column <= x.shape[1]:
                total += weights[i2 - 1, j2 - 1] @ x[row - 1, column - 1]
    return total


def all_sums(rng: np.random.Generator) -> dict[str, int]:
    """A 3.5's sum at all positions of a random image: where it is defined as it is printed, and
    whether it is then the sum with the indices exchanged, which is the layer's."""
    k, channels = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    size = 2 * k + 1
    shape = tuple(int(n) for n in rng.integers(size, size + 6, 2))
    x = rng.integers(-3, 4, (*shape, channels)).astype(float)
    weights = rng.integers(-3, 4, (size, size, 2, channels)).astype(float)
    kernel = jnp.asarray(np.moveaxis(weights, 2, 3), jnp.float32)
    layer = np.asarray(ops.conv(jnp.asarray(x, jnp.float32), kernel, algorithm="lax"))
    found = {"positions": layer[..., 0].size, "undefined": 0, "defined_differ": 0}
    found["layer_differ"] = 0
    for i, j in np.ndindex(*shape):
        value = indexed_sum(x, weights, i + 1, j + 1, printed=False)
        found["layer_differ"] += int((value != layer[i, j]).any())
        try:
            printed = indexed_sum(x, weights, i + 1, j + 1, printed=True)
        except ValueError:
            found["undefined"] += 1
        else:
            found["defined_differ"] += int((printed != value).any())
    return found
