"""Pooling layers: over windows (A 4.5, B eq. 10.9) and over the whole map (A 4.4)."""

import functools
from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.nn._checks import choice, window_geometry
from cnnlab.ops.arguments import takes_arrays
from cnnlab.ops.geometry import Padding


class _AbstractPool(eqx.Module):
    """The geometry that window pools share; there is nothing to learn."""

    kernel_size: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: Padding = "VALID",
    ):
        """`stride` None is the window itself: windows that tile the map (A 4.5).

        With `padding="SAME"` the output has size `ceil(n / stride)`; padding takes no part in a
        maximum and is not counted in a mean. ValueError for a bad value.
        """
        if num_spatial_dims not in (1, 2, 3):
            raise ValueError(f"num_spatial_dims: expected 1, 2 or 3, got {num_spatial_dims!r}")
        stride = kernel_size if stride is None else stride
        self.kernel_size, self.stride, self.padding, self.dilation = window_geometry(
            num_spatial_dims, kernel_size, stride, padding
        )

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0: a pool compares or adds, it multiplies nothing by anything learned."""
        del in_shape
        return 0


class MaxPool(_AbstractPool):
    """Maximum over windows, per channel: `(*batch, *spatial, c) -> (*batch, *out, c)` (A 4.5)."""

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        del key
        return ops.max_pool(x, self.kernel_size, self.stride, self.padding)


class AvgPool(_AbstractPool):
    """Mean over windows, per channel: `(*batch, *spatial, c) -> (*batch, *out, c)` (B 10.1.4)."""

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        del key
        return ops.avg_pool(x, self.kernel_size, self.stride, self.padding)


class GlobalPool(eqx.Module):
    """Mean, maximum or sum over the map: `(*batch, *spatial, c) -> (*batch, c)` (A 4.4, A 4.8)."""

    kind: str = eqx.field(static=True)
    num_spatial_dims: int = eqx.field(static=True)

    def __init__(self, kind: str = "avg", num_spatial_dims: int = 2):
        """`kind` is `"avg"`, `"max"` or `"sum"`; ValueError otherwise."""
        self.kind = choice("kind", kind, ("avg", "max", "sum"))
        self.num_spatial_dims = num_spatial_dims

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch c"]:
        del key
        return ops.global_pool(x, self.kind, self.num_spatial_dims)


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
