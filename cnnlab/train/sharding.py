"""Arrays over the devices of several processes, and which axis of an array is cut."""

import math

import jax
import jax.random as jr
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import PartitionSpec as P
from jax.sharding import Sharding
from jaxtyping import Array

from cnnlab.nn.replicas import AXIS

_SMALL = 2**12  # entries: an array of fewer is not worth a message


def cut(shape: tuple[int, ...], devices: int) -> P:
    """How an array of the state is shared out: along its longest axis that the devices divide, the
    last of several; small arrays, and those without such an axis, are on every device.

    This is what ZeRO (Rajbhandari et al., 2020) and FSDP do with parameters, gradients and the
    state of the optimizer, by sharding rules.
    """
    fitting = [(size, axis) for axis, size in enumerate(shape) if size % devices == 0]
    if math.prod(shape) < _SMALL or not fitting:
        return P()
    return P(*[None] * max(fitting)[1], AXIS)


def across(x: Array | np.ndarray, sharding: Sharding) -> Array:
    """An array that every process has, as one over the devices of all."""
    if _is_key(x):
        return jr.wrap_key_data(across(jr.key_data(x), sharding), impl=jr.key_impl(x))
    here = np.asarray(x)
    return jax.make_array_from_callback(here.shape, sharding, lambda index: here[index])


def here(x: Array) -> Array:
    """The whole of an array over the devices of all processes, for this one. Where it is cut, all
    have to ask at once, and it comes to the host."""
    if _is_key(x) or x.is_fully_replicated:
        return x.addressable_data(0)
    whole = np.asarray(multihost_utils.process_allgather(x, tiled=True))
    return jax.device_put(whole, jax.local_devices(backend="cpu")[0])


def _is_key(x: Array | np.ndarray) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
