"""Normalisation layers. Statistics are taken in float32 or wider, whatever the input's type."""

import functools
from collections.abc import Hashable

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox.nn import State, StateIndex
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import check_channels, divisor, fraction, positive_int, takes_arrays
from cnnlab.nn import replicas
from cnnlab.nn.layer import ShapePreserving
from cnnlab.ops.precision import accumulation_dtype, last_axes


class BatchNorm(ShapePreserving, eqx.nn.StatefulLayer):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) of the last axis.

    In training each channel gets mean 0 and variance 1 over all axes but the last, batch axes
    included, and over the replicas where `axis_name` is bound: many devices give what one gives.
    In inference (`eqx.nn.inference_mode`) the running mean and variance are used. They live in
    the `eqx.nn.State` and follow `running = momentum * running + (1 - momentum) * batch`, with
    the unbiased variance (divided by n - 1) as in PyTorch; the batch itself is divided by the
    standard deviation with the biased one.

    `weight` and `bias` are `(channels,)` or None.
    """

    weight: Float[Array, " c"] | None
    bias: Float[Array, " c"] | None
    running_mean: StateIndex
    running_var: StateIndex
    inference: bool
    channels: int = eqx.field(static=True)
    momentum: float = eqx.field(static=True)
    eps: float = eqx.field(static=True)
    axis_name: Hashable = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.9,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        axis_name: Hashable = replicas.AXIS,
        inference: bool = False,
    ):
        """**Arguments:**

        - `momentum`: the part of the running statistics that stays.
        - `use_weight`, `use_bias`: whether a scale and a shift are learned.
        - `axis_name`: the axis over which replicas share statistics.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        self.momentum = fraction("momentum", momentum)
        self.eps = eps
        self.weight = jnp.ones(self.channels) if use_weight else None
        self.bias = jnp.zeros(self.channels) if use_bias else None
        self.running_mean = StateIndex(jnp.zeros(self.channels))
        self.running_var = StateIndex(jnp.ones(self.channels))
        self.inference = inference
        self.axis_name = axis_name

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], state: State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*dims c"], State]:
        """**Arguments:** `x`, `(*batch, *spatial, channels)`.

        **Returns:** `x` normalised, and the new state.
        """
        del key
        check_channels(x, self.channels)
        # One long axis: XLA reduces it several times faster on the CPU than three or four.
        flat = x.reshape(-1, self.channels).astype(accumulation_dtype(x.dtype))
        if self.inference:
            mean, var = state.get(self.running_mean), state.get(self.running_var)
        else:
            mean, var = _moments(flat, self.axis_name)
            state = self._update(state, mean, var, flat.shape[0])
        y = _normalise(flat, mean, var, self.eps, self.weight, self.bias)
        return y.astype(x.dtype).reshape(x.shape), state

    def _update(self, state: State, mean: Array, var: Array, local_count: int) -> State:
        count = local_count * replicas.count(self.axis_name)
        unbiased = var * (count / max(count - 1, 1))
        for index, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
            old = state.get(index)
            batch = lax.stop_gradient(batch).astype(old.dtype)
            state = state.set(index, self.momentum * old + (1 - self.momentum) * batch)
        return state


class GroupNorm(ShapePreserving):
    """Group normalisation (Wu and He 2018, arXiv:1803.08494): statistics of one example.

    Each group of `channels / groups` channels gets mean 0 and variance 1 over itself and over
    space. `weight` and `bias` are `(channels,)` or None.
    """

    weight: Float[Array, " c"] | None
    bias: Float[Array, " c"] | None
    channels: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    num_spatial_dims: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        groups: int,
        *,
        num_spatial_dims: int = 2,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
    ):
        """**Arguments:** `num_spatial_dims` says which axes are space and which are batch.

        **Raises:** `ValueError` unless `groups` divides `channels`.
        """
        self.channels = positive_int("channels", channels)
        self.groups = divisor("groups", groups, channels=self.channels)
        self.num_spatial_dims = num_spatial_dims
        self.eps = eps
        self.weight = jnp.ones(self.channels) if use_weight else None
        self.bias = jnp.zeros(self.channels) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims c"]:
        """**Arguments:** `x`, `(*batch, *spatial, channels)`."""
        del key
        check_channels(x, self.channels)
        batch = x.shape[: x.ndim - self.num_spatial_dims - 1]
        wide = x.astype(accumulation_dtype(x.dtype))
        grouped = wide.reshape(*batch, -1, self.groups, self.channels // self.groups)
        mean = jnp.mean(grouped, axis=(-3, -1), keepdims=True)
        var = jnp.mean(jnp.square(grouped - mean), axis=(-3, -1), keepdims=True)
        split = lambda p: None if p is None else p.reshape(self.groups, -1)
        y = _normalise(grouped, mean, var, self.eps, split(self.weight), split(self.bias))
        return y.astype(x.dtype).reshape(x.shape)


class LayerNorm(ShapePreserving):
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450) over the channels of each position.

    `weight` and `bias` are `(channels,)` or None.
    """

    weight: Float[Array, " c"] | None
    bias: Float[Array, " c"] | None
    channels: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(
        self, channels: int, *, eps: float = 1e-5, use_weight: bool = True, use_bias: bool = True
    ):
        """**Arguments:** `use_weight`, `use_bias`: whether a scale and a shift are learned."""
        self.channels = positive_int("channels", channels)
        self.eps = eps
        self.weight = jnp.ones(self.channels) if use_weight else None
        self.bias = jnp.zeros(self.channels) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims c"]:
        """**Arguments:** `x`, `(*batch, *spatial, channels)`."""
        del key
        check_channels(x, self.channels)
        wide = x.astype(accumulation_dtype(x.dtype))
        mean = jnp.mean(wide, axis=-1, keepdims=True)
        var = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)
        return _normalise(wide, mean, var, self.eps, self.weight, self.bias).astype(x.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _moments(flat: Float[Array, "n c"], axis_name: Hashable) -> tuple[Array, Array]:
    """Mean and variance of each channel, of the rows of all replicas; one exchange between them.

    Each takes the variance about its own mean, and adds how far that is from the mean of all (Chan
    et al. 1979), so that a large mean cancels no more than on one device.
    """
    mean = jnp.mean(flat, axis=0)
    var = jnp.mean(jnp.square(flat - mean[None]), axis=0)
    if not replicas.is_bound(axis_name):
        return mean, var
    each = replicas.gather(jnp.stack([mean, var]), axis_name)
    means, variances = each[:, 0], each[:, 1]
    mean = jnp.mean(means, axis=0)
    return mean, jnp.mean(variances + jnp.square(means - mean[None]), axis=0)


@_moments.defjvp
def _moments_jvp(
    axis_name: Hashable, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    # Nothing of the mean's own tangent: what is about the mean sums to 0. One exchange back, too.
    (flat,), (moved,) = primals, tangents
    mean, var = _moments(flat, axis_name)
    of_var = 2 * jnp.mean((flat - mean[None]) * moved, axis=0)
    both = replicas.pmean(jnp.stack([jnp.mean(moved, axis=0), of_var]), axis_name)
    return (mean, var), (both[0], both[1])


def _normalise(
    x: Array, mean: Array, var: Array, eps: float, weight: Array | None, bias: Array | None
) -> Array:
    """`(x - mean) / sqrt(var + eps) * weight + bias` in the type of `x`."""
    own = lambda v: last_axes(v, x.ndim).astype(x.dtype)
    scale = lax.rsqrt(own(var) + eps)
    if weight is not None:
        scale = scale * own(weight)
    y = (x - own(mean)) * scale
    return y if bias is None else y + own(bias)
