"""Pooling layers: over windows (A 4.5, B eq. 10.9) and over the whole map (A 4.4)."""

import functools
from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import one_of, takes_arrays
from cnnlab.nn.layer import Layer, WindowLayer, spatial_rank
from cnnlab.nn.memory import Memory, Pooled
from cnnlab.ops import Ints, Padding, Window


class Pool(WindowLayer):
    """What a window pool does to each channel by itself; there is nothing to learn."""

    window: Window = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = "VALID",
    ):
        """**Arguments:**

        - `stride`: None is the window itself: windows that tile the map (A 4.5).
        - `padding`: with `"SAME"` the output has size `ceil(n / stride)`. Padding takes no part in
          a maximum and is not counted in a mean.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        stride = kernel_size if stride is None else stride
        self.window = Window.of(rank, kernel_size, stride, padding)

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.window.output_shape(in_shape[:-1]), in_shape[-1])

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0: a pool compares or adds, it multiplies nothing by anything learned."""
        del in_shape
        return 0


class MaxPool(Pool):
    """Maximum over windows, per channel: `(*batch, *spatial, c) -> (*batch, *out, c)` (A 4.5)."""

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        del key
        return ops.max_pool(x, self.kernel_size, self.stride, self.padding)


class AvgPool(Pool):
    """Mean over windows, per channel: `(*batch, *spatial, c) -> (*batch, *out, c)` (B 10.1.4)."""

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        del key
        return ops.avg_pool(x, self.kernel_size, self.stride, self.padding)


class GlobalPool(Layer):
    """Mean, maximum or sum over the map: `(*batch, *spatial, c) -> (*batch, c)` (A 4.4, A 4.8)."""

    kind: str = eqx.field(static=True)
    num_spatial_dims: int = eqx.field(static=True)

    def __init__(self, kind: str = "avg", num_spatial_dims: int = 2):
        """**Arguments:** `kind`, `"avg"`, `"max"` or `"sum"`.

        **Raises:** `ValueError` for another kind.
        """
        self.kind = one_of("kind", kind, ("avg", "max", "sum"))
        self.num_spatial_dims = num_spatial_dims

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch c"]:
        del key
        return ops.global_pool(x, self.kind, self.num_spatial_dims)

    def memory(self, length: int) -> Memory:
        """To give after each position the pool of all so far.

        **Raises:** `ValueError`: a pool over several axes.
        """
        del length
        if self.num_spatial_dims != 1:
            raise ValueError(
                f"num_spatial_dims: expected 1, the positions of a sequence, got "
                f"{self.num_spatial_dims}"
            )
        return Pooled(self.kind)

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(in_shape[-1:])

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0, as of a window's pool."""
        del in_shape
        return 0


class MaxPool1d(MaxPool):
    """`MaxPool` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(MaxPool.__init__, 1)


class MaxPool2d(MaxPool):
    """`MaxPool` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(MaxPool.__init__, 2)


class MaxPool3d(MaxPool):
    """`MaxPool` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(MaxPool.__init__, 3)


class AvgPool1d(AvgPool):
    """`AvgPool` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(AvgPool.__init__, 1)


class AvgPool2d(AvgPool):
    """`AvgPool` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(AvgPool.__init__, 2)


class AvgPool3d(AvgPool):
    """`AvgPool` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(AvgPool.__init__, 3)
