"""Linear convolutions one after another as one convolution (A 4.2): the kernels composed."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.models import Classifier
from cnnlab.nn import Conv
from cnnlab.ops.window import Pairs


class LinearConv(NamedTuple):
    """A convolution without nonlinearity, in one group.

    - `kernel`: `(*kernel_size, c_in, c_out)`; `bias`: `(c_out,)`.
    - `stride`, `dilation`: one number a spatial axis; `padding`: one `(low, high)` pair an axis.
    """

    kernel: np.ndarray
    bias: np.ndarray
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.stride)

    @property
    def window(self) -> ops.Window:
        """What slides over the input."""
        return ops.Window(self.kernel.shape[: self.rank], self.stride, self.padding, self.dilation)

    @property
    def extent(self) -> tuple[int, ...]:
        """Input positions along each axis from the first to the last that an output reads."""
        return self.window.extent

    def out(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Spatial shape of the result for an input of shape `(*spatial, c_in)`."""
        return self.window.output_shape(spatial)


def layer_of(conv: Conv, spatial: Sequence[int]) -> LinearConv:
    """A layer of `cnnlab.nn`, with its padding for an input of shape `(*spatial, c)` resolved.

    **Raises:** `ValueError` for a layer with groups.
    """
    if conv.groups != 1:
        raise ValueError(f"conv: expected one group, got {conv.groups}")
    bias = np.zeros(conv.out_channels) if conv.bias is None else np.asarray(conv.bias, float)
    kernel = np.asarray(conv.weight, float)
    if conv.flip:
        kernel = np.flip(kernel, tuple(range(conv.num_spatial_dims)))
    window = conv.window.at(spatial)
    return LinearConv(kernel, bias, window.stride, window.dilation, window.pads)


def apply_linear(
    layer: LinearConv, x: Float[Array, "*shape c_in"], mode: str = "zeros"
) -> Float[Array, "*out c_out"]:
    """`(*batch, *spatial, c_in) -> (*batch, *out, c_out)`, padded by `mode` (`ops.PADDING_MODES`).

    The direct sum, left to XLA: exact for integers whose sums stay below 2^24.
    """
    x = ops.pad(x, layer.padding, mode)
    kernel, bias = (jnp.asarray(a, x.dtype) for a in (layer.kernel, layer.bias))
    window = layer.window.without_padding.arguments
    return ops.conv(x, kernel, algorithm=ops.REFERENCE, **window) + bias


def compose_pair(first: LinearConv, second: LinearConv) -> LinearConv:
    """One convolution that is `second` after `first`, wherever `first`'s result is not padded.

    With strides `s` and dilations `d`, output `i` of `second` reads output `i s2 + b d2` of
    `first`, which reads input `(i s2 + b d2) s1 + a d1`. So the stride is `s1 s2`, and the kernel
    at offset `u` is the sum of `K1[a] K2[b]` over all `a d1 + b d2 s1 = u`: a full convolution of
    both, each with its holes. The channels in the middle are summed over.

    Padding by `p1 + s1 p2` makes as many outputs. They are right at the border, too, where the
    padding of `first`'s result is what `first` would give there: circular padding is, zeros are
    not.
    """
    rank = first.rank
    holes = tuple(d * s for d, s in zip(second.dilation, first.stride, strict=True))
    reach = replace(second.window, dilation=holes).extent
    extent = tuple(a + b - 1 for a, b in zip(first.extent, reach, strict=True))
    dense = np.zeros((*first.extent, *first.kernel.shape[rank:]), first.kernel.dtype)
    dense[tuple(slice(None, None, d) for d in first.dilation)] = first.kernel
    shape = (*extent, first.kernel.shape[-2], second.kernel.shape[-1])
    kernel = np.zeros(shape, np.result_type(first.kernel, second.kernel))
    for tap in np.ndindex(*second.kernel.shape[:rank]):
        starts = [t * h for t, h in zip(tap, holes, strict=True)]
        window = tuple(slice(s, s + e) for s, e in zip(starts, first.extent, strict=True))
        kernel[window] += dense @ second.kernel[tap]
    pads = zip(first.padding, second.padding, first.stride, strict=True)
    return LinearConv(
        kernel,
        first.bias @ second.kernel.sum(tuple(range(rank))) + second.bias,
        tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
        (1,) * rank,
        tuple((low + s * lower, high + s * higher) for (low, high), (lower, higher), s in pads),
    )


def compose_stack(layers: Sequence[LinearConv]) -> LinearConv:
    """`compose_pair` of a stack, its first layer first."""
    return functools.reduce(compose_pair, layers)


def unpadded(layers: Sequence[LinearConv], spatial: Sequence[int]) -> Bool[np.ndarray, "..."]:
    """Which outputs of a stack, `(*out,)`, depend on no padding but that of its first layer.

    The padding of the input is the same for the stack and for the composed layer; that of a map in
    the middle is not.
    """
    shape = tuple(spatial)
    clean = [np.ones(n, bool) for n in shape]
    for i, layer in enumerate(layers):
        shape = layer.out(shape)
        reads = layer.window.reads(shape)
        for axis in range(layer.rank):
            padded = np.pad(clean[axis], layer.padding[axis], constant_values=i == 0)
            clean[axis] = np.all(padded[reads[axis]], axis=1)
    return functools.reduce(np.logical_and.outer, clean)


class Collapsed(eqx.nn.StatefulLayer):
    """One convolution in place of a backbone, and the backbone's own head."""

    kernel: Array
    bias: Array
    stride: tuple[int, ...] = eqx.field(static=True)
    head: eqx.nn.StatefulLayer

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... classes"], eqx.nn.State]:
        """`(*batch, *spatial, c)` to class scores `(*batch, num_classes)`."""
        y = ops.conv(x, self.kernel, stride=self.stride, padding="VALID", bias=self.bias)
        return self.head(y, state, key=key)


def collapse(model: Classifier) -> Collapsed:
    """A classifier with its backbone, a stack of unpadded linear convolutions, as one of them
    (A 4.2).

    **Raises:** `ValueError`: a convolution with groups.
    """
    layers, spatial = [], model.backbone.in_shape[:-1]
    for layer in (layer for stage in model.backbone.stages for layer in stage.layers):
        if isinstance(layer, Conv):
            layers.append(layer_of(layer, spatial))
            spatial = layers[-1].out(spatial)
    one = compose_stack(layers)
    kernel, bias = (jnp.asarray(a, jnp.float32) for a in (one.kernel, one.bias))
    return Collapsed(kernel, bias, one.stride, model.head)
