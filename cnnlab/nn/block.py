"""The convolutional block of A 4.6: convolutions with nonlinearities, then a reduction."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from equinox.nn import State
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import fraction, one_of, positive_int, takes_arrays
from cnnlab.nn.activations import Activation
from cnnlab.nn.activations import activation as activation_layer
from cnnlab.nn.anti_aliased import BlurPool, PolyphasePool
from cnnlab.nn.conv import Conv
from cnnlab.nn.dropout import Dropout
from cnnlab.nn.pool import AvgPool, MaxPool

# Each `(num_spatial_dims, kernel_size, *, padding) -> layer`.
POOLS: dict[str, Callable[..., Any]] = {
    "max": MaxPool,
    "avg": AvgPool,
    "blur": BlurPool,
    "polyphase": PolyphasePool,
}


class ConvBlock(eqx.nn.StatefulLayer):
    """(convolution, norm, activation, dropout) n times, then a pool or a stride (A 4.6, A 4.7).

    `block(x, state, *, key) -> (x, state)` maps `(*batch, *in_shape)` to `(*batch, *out_shape)`.
    """

    layers: tuple[Callable, ...]
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: Sequence[int],
        *,
        conv: Callable[..., Callable],
        norm: Callable[..., Callable] | None = None,
        activation: str | Callable = "relu",
        kernel_size: ops.Ints = 3,
        pool: str | None = "max",
        pool_size: int = 2,
        pool_padding: ops.Padding = "SAME",
        use_bias: bool | None = None,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: `(*spatial, c)` of one example, with 1 to 3 spatial axes.
        - `channels`: output channels of each convolution, at least one.
        - `conv`: a factory as in `nn.factories`, `(in_channels, out_channels, *, kernel_size,
          stride, spatial_shape, use_bias, key) -> layer`; it is given those keywords that it takes.
        - `norm`: a factory `(channels) -> layer`, given `num_spatial_dims` if it takes that.
        - `activation`: a name (`nn.activation`) or a function.
        - `pool`: `"max"` or `"avg"` windows of `pool_size`; `"blur"` or `"polyphase"`, maxima that
          mind shifts (`BlurPool`, `PolyphasePool`); `"stride"`: no pool, but that stride in the
          last convolution (A 4.7); None: no reduction.
        - `pool_padding`: `"SAME"`: a size is divided and rounded up; `"VALID"`: rounded down.
        - `use_bias`: None leaves it to the factory, except that a norm, which would cancel the
          bias, turns it off where the factory was not told.
        - `dropout`: probability, after each activation.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.in_shape = tuple(positive_int(f"in_shape[{i}]", n) for i, n in enumerate(in_shape))
        rank = len(self.in_shape) - 1
        if rank not in (1, 2, 3):
            raise ValueError(
                f"in_shape: expected 1 to 3 spatial sizes and channels, got {self.in_shape}"
            )
        if len(channels) == 0:
            raise ValueError("channels: expected at least one channel count, got none")
        if pool is not None:
            one_of("pool", pool, (*POOLS, "stride"))
        pool_size = positive_int("pool_size", pool_size)
        dropout = fraction("dropout", dropout)
        if use_bias is None and norm is not None and "use_bias" not in _bound(conv):
            use_bias = False

        layers: list[Callable] = []
        shape = self.in_shape
        last = len(channels) - 1
        for i, (width, conv_key) in enumerate(
            zip(channels, jr.split(key, len(channels)), strict=True)
        ):
            width = positive_int(f"channels[{i}]", width)
            stride = pool_size if pool == "stride" and i == last else 1
            layer = _make_conv(conv, shape, width, kernel_size, stride, use_bias, conv_key)
            shape = _out_shape(layer, shape)
            layers.append(layer)
            if norm is not None:
                layers.append(make_norm(norm, shape))
            layers.append(activation_layer(activation))
            if dropout > 0:
                layers.append(Dropout(dropout))
        if pool in POOLS:
            reduction = POOLS[pool](rank, pool_size, padding=pool_padding)
            shape = reduction.output_shape(shape)
            layers.append(reduction)
        self.layers = tuple(layers)
        self.out_shape = shape

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], state: State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*out c_out"], State]:
        """**Arguments:** `x`, `(*batch, *in_shape)`; `key`, needed where there is dropout."""
        return eqx.nn.Sequential(_fused(self.layers))(x, state, key=key)


def make_norm(norm: Callable[..., Callable], shape: Sequence[int]) -> Callable:
    """The normalisation of a factory `(channels) -> layer`, given `num_spatial_dims` if it takes
    that, for arrays whose examples are `(*spatial, c)`."""
    options = {"num_spatial_dims": len(shape) - 1}
    return norm(shape[-1], **{k: options[k] for k in _taken(norm, options)})


def _fused(layers: Sequence[Callable]) -> list[Callable]:
    """The layers, with each activation that the convolution before it can apply handed to that."""
    fused: list[Callable] = []
    for layer in layers:
        name = layer.name if isinstance(layer, Activation) else None
        if name in ops.FUSED_ACTIVATIONS and fused and isinstance(fused[-1], Conv):
            fused[-1] = eqx.Partial(fused[-1], activation=name)
        else:
            fused.append(layer)
    return fused


def _make_conv(
    conv: Callable[..., Callable],
    in_shape: tuple[int, ...],
    out_channels: int,
    kernel_size: ops.Ints,
    stride: int,
    use_bias: bool | None,
    key: PRNGKeyArray,
) -> Callable:
    """Call a factory with the keywords that it takes."""
    options: dict[str, object] = {"spatial_shape": in_shape[:-1]}
    if stride > 1:
        options["stride"] = stride
    if use_bias is not None:
        options["use_bias"] = use_bias
    taken = _taken(conv, options)
    if stride > 1 and "stride" not in taken:
        raise ValueError("conv: pool='stride' needs a factory that takes a stride")
    options = {name: options[name] for name in taken}
    return conv(in_shape[-1], out_channels, kernel_size=kernel_size, key=key, **options)


def _out_shape(layer: Callable, in_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the layer's output for one example; nothing is computed."""
    x = jax.ShapeDtypeStruct((1, *in_shape), jnp.result_type(float))
    out = eqx.filter_eval_shape(lambda layer, x: layer(x), layer, x)
    return tuple(out.shape[1:])


def _bound(factory: Callable) -> Mapping[str, object]:
    """Keywords already given to a `functools.partial`, as Hydra's `_partial_` makes."""
    return getattr(factory, "keywords", {})


def _taken(factory: Callable, names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Those of `names` that the factory takes as keywords."""
    parameters = inspect.signature(factory).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return list(names)
    return [n for n in names if n in parameters]
