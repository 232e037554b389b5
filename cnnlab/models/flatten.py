"""vect(X) of A 1.3."""

import math
from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray, Shaped

from cnnlab import nn, ops


class Flatten(nn.Layer):
    """Writes an input of a fixed shape as one vector, in row-major order (A 1.3)."""

    in_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, in_shape: Sequence[int]):
        """**Arguments:** `in_shape`: shape of one input, `(*spatial, c)` or `(d,)`."""
        self.in_shape = tuple(in_shape)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return math.prod(self.in_shape)

    def __call__(
        self, x: Shaped[Array, "..."], *, key: PRNGKeyArray | None = None
    ) -> Shaped[Array, "... size"]:
        """Maps `(*batch, *in_shape)` to `(*batch, size)`.

        **Raises:** `ValueError` if the input's last axes are not `in_shape`.
        """
        batch = x.shape[: x.ndim - len(self.in_shape)]
        if (*batch, *self.in_shape) != x.shape:
            raise ValueError(
                f"x: expected (*batch, {', '.join(map(str, self.in_shape))}), got {x.shape}"
            )
        return ops.vect(x, len(self.in_shape))

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (math.prod(in_shape),)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0: the numbers stay as they are."""
        del in_shape
        return 0
