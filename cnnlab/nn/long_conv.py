"""Depthwise convolution with a kernel as long as the sequence, of a few parameters (A 6.3)."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import check_channels, having, one_of, positive_int, takes_arrays
from cnnlab.nn.filters import S4D, Diagonal, Filter
from cnnlab.nn.layer import Convolution
from cnnlab.nn.memory import Memory, Recurrence, Tiles
from cnnlab.ops import Pass, Problem


class LongConv1d(Convolution):
    """`y[i] = sum over l of kernel[l] x[i - l] + skip x[i]` for each channel by itself, of
    sequences `(*batch, n, channels)` of any length n.

    The kernel is `filter.kernel(n)`. Causal: an output sees the whole past and nothing later. Not
    causal, a second filter, `future`, weighs what comes after. `skip` is `(channels,)`.
    (`nn.LongConv` has one weight for each position and pair of channels.)
    """

    filter: Filter
    future: Filter | None
    skip: Float[Array, " c"]
    channels: int = eqx.field(static=True)
    algorithm: str = eqx.field(static=True)
    passes: ClassVar[tuple[Pass, ...]] = ops.PASSES

    def __init__(
        self,
        channels: int,
        *,
        filter: Callable[..., Filter] = S4D,
        causal: bool = True,
        algorithm: str = "auto",
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `filter`: `(channels, *, key) -> Filter`: one of `nn.filters`, with `functools.partial`
          where it needs more, as `partial(nn.filters.Hyena, span=1024)`.
        - `causal`: whether an output sees nothing later.
        - `algorithm`: as of `Conv`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        self.algorithm = one_of("algorithm", algorithm, ops.ALGORITHMS)
        having("filter", filter, "a function (channels, *, key) -> Filter", "__call__")
        past, future, skip = jr.split(key, 3)
        self.filter = filter(self.channels, key=past)
        self.future = None if causal else filter(self.channels, key=future)
        self.skip = jr.normal(skip, (self.channels,))

    @property
    def window(self) -> None:
        """None: it is as long as the sequence."""
        return None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims n c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims n c"]:
        """**Arguments:** `x`, `(*batch, n, channels)`."""
        del key
        check_channels(x, self.channels)
        length = x.shape[-2]
        if not length:
            raise ValueError(f"x: expected at least 1 position, got shape {x.shape}")
        kernel = self._past(length)
        if self.future is not None:
            kernel = jnp.concatenate([self._kernel(self.future, length - 1)[::-1], kernel])
        return ops.conv(
            x,
            kernel[:, None].astype(x.dtype),
            padding=self._padding(length),
            groups=self.channels,
            flip=True,
            algorithm=self.algorithm,
        )

    def memory(self, length: int) -> Memory:
        """To compute outputs one after another, `length` of them: the states of a filter that is a
        recurrence, or else the past (`nn.memory.Tiles`).

        **Raises:** `ValueError`: an output sees later inputs.
        """
        if self.future is not None:
            raise ValueError("causal: expected True, got False: an output sees later inputs")
        if isinstance(self.filter, Diagonal):
            return Recurrence(*self.filter.system(), self.skip)
        return Tiles(self._past(length), self.algorithm)

    def _past(self, length: int) -> Float[Array, "n c"]:
        """What weighs the present and the past. `skip` is one more weight of the present: by itself
        it would take a pass over the sequence, and in the gradient a sum over all of it."""
        return self._kernel(self.filter, length).at[0].add(self.skip)

    def _kernel(self, filter: Filter, length: int) -> Float[Array, "n c"]:
        kernel, expected = filter.kernel(length), (length, self.channels)
        if (shape := getattr(kernel, "shape", type(kernel))) != expected:
            raise ValueError(f"filter: expected a kernel of shape {expected}, got {shape}")
        return kernel

    def _padding(self, length: int) -> ops.Padding:
        return "CAUSAL" if self.future is None else [(length - 1, length - 1)]

    def problem(self, in_shape: Sequence[int]) -> Problem:
        length = in_shape[-2]
        taps = length if self.future is None else 2 * length - 1
        return ops.describe(
            in_shape,
            (taps, 1, self.channels),
            padding=self._padding(length),
            groups=self.channels,
            dtype=self.skip.dtype,
        )

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(in_shape)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Of the sum as it is defined, zeros beyond the ends included, for one example."""
        return self.problem(in_shape).multiply_adds
