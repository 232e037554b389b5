"""What cnnlab needs of jax that jax does not export: the one module that touches `jax._src`.

Where a new jax breaks something of it, here is what to mend, and nothing else.

- `dispatch`: how a primitive runs outside of `jit`, and the set of those that are lowered with the
  devices at hand.
- `compilation_cache`: compiled programs kept on disk: how they are compressed, and what opens the
  cache.
- `LRUCache`: that cache.
- `lowering_rule`: what a primitive becomes on a platform, to put another rule before it.
- `cluster`: the processes of a job, as SLURM and others tell; `has_begun`: whether jax has begun.
- `cut_for`, `knowing`: of a program that is being lowered, the devices that XLA will cut it for.
- `parts_along`, `cut_along`: how XLA has cut an array, and how it should.
"""

import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax._src import compilation_cache, dispatch, xla_bridge
from jax._src.clusters import ClusterEnv
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lru_cache import LRUCache
from jax._src.sharding_impls import GSPMDSharding, ShardingContext, SPMDAxisContext
from jax.extend.core import Primitive
from jaxtyping import Int

__all__ = [
    "LRUCache",
    "cluster",
    "compilation_cache",
    "cut_along",
    "cut_for",
    "dispatch",
    "has_begun",
    "knowing",
    "lowering_rule",
    "parts_along",
]

_KINDS = xla_client.OpSharding.Type


def lowering_rule(primitive: Primitive, platform: str) -> Callable:
    """The rule that is registered for a platform, or else for all."""
    own = mlir._platform_specific_lowerings[platform]
    return (own.get(primitive) or mlir._lowerings[primitive]).rule


def cluster(timeout: int) -> tuple[str | None, int | None, int | None, Sequence[int] | None]:
    """The address of process 0, how many there are, which this one is, and which of the machine's
    devices are its own (None: all), as far as SLURM, Open MPI, Kubernetes or Cloud TPU tell.

    **Arguments:** `timeout`, seconds to wait for an address.
    """
    nothing = (None, None, None, None)
    return ClusterEnv.auto_detect_unset_distributed_params(*nothing, None, timeout)


def has_begun() -> bool:
    """Whether jax has made its devices: no other processes can be joined any more."""
    return xla_bridge.backends_are_initialized()


def cut_for(context: mlir.ModuleContext) -> tuple[jax.Device, ...]:
    """As many devices as XLA will cut the program for that is being lowered, for the CPU alone;
    none where it is for one, or its arrays are the parts of one already, as under `shard_map`."""
    axes, number = context.axis_context, 1
    if isinstance(axes, ShardingContext):
        number = axes.num_devices
    elif isinstance(axes, SPMDAxisContext):
        left = [n for name, n in axes.mesh.shape.items() if name not in axes.manual_axes]
        number = axes.mesh.size if math.prod(left) > 1 else 1
    there = number > 1 and tuple(context.platforms) == ("cpu",)
    devices = jax.devices("cpu")[:number] if there else []
    return tuple(devices) if len(devices) == number else ()


def knowing(context: mlir.ModuleContext, devices: tuple[jax.Device, ...]) -> mlir.ModuleContext:
    """For the lowering of `custom_partitioning`, which asks for devices, though all that matters is
    their number. JAX says which for its primitive, and looks for that before others are lowered."""
    if not devices:
        return context
    return context.replace(axis_context=ShardingContext(len(devices), devices))


def parts_along(sharding: GSPMDSharding, axis: int) -> Int[np.ndarray, "parts same manual"]:
    """Which devices have which part of an axis, apart from those that `shard_map` has cut for."""
    own = sharding._hlo_sharding
    if not own.is_tiled():
        return np.arange(sharding.num_devices).reshape(1, -1, 1)
    sizes = own.tile_assignment_dimensions()
    every = np.reshape(own.tile_assignment_devices(), sizes)
    kinds = own.subgroup_types()
    manual = [len(sizes) - len(kinds) + i for i, kind in enumerate(kinds) if kind == _KINDS.MANUAL]
    every = np.moveaxis(every, [axis, *manual], [0, *range(-len(manual), 0)])
    return every.reshape(sizes[axis], -1, math.prod(sizes[i] for i in manual))


def cut_along(
    axis: int | None,
    rank: int,
    parts: Int[np.ndarray, "parts same manual"],
    devices: tuple[jax.Device, ...],
) -> GSPMDSharding:
    """The sharding of an array that is cut along one axis, or (None) along none."""
    sizes = [1] * rank
    if axis is None:
        parts = parts.reshape(1, -1, parts.shape[-1])
    else:
        sizes[axis] = len(parts)
    own = xla_client.HloSharding.subgroup_with_device_ordering(
        np.ascontiguousarray(parts.reshape(*sizes, *parts.shape[1:]), np.int64),
        [_KINDS.REPLICATED, _KINDS.MANUAL],
    )
    return GSPMDSharding(devices, own)
