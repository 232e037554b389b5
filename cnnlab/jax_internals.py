"""What cnnlab needs of jax that jax does not export: the one module that touches `jax._src`.

Where a new jax breaks something of it, here is what to mend, and nothing else.

- `dispatch`: how a primitive runs outside of `jit`, and the set of those that are lowered with the
  devices at hand.
- `compilation_cache`: compiled programs kept on disk: how they are compressed, and what opens the
  cache.
- `LRUCache`: that cache.
- `lowering_rule`: what a primitive becomes on a platform, to put another rule before it.
- `partitioned`: whether XLA will cut a program into those of several devices.
"""

from collections.abc import Callable

from jax._src import compilation_cache, dispatch
from jax._src.interpreters import mlir
from jax._src.lru_cache import LRUCache
from jax._src.sharding_impls import ShardingContext, SPMDAxisContext
from jax.extend.core import Primitive

__all__ = ["LRUCache", "compilation_cache", "dispatch", "lowering_rule", "partitioned"]


def lowering_rule(primitive: Primitive, platform: str) -> Callable:
    """The rule that is registered for a platform, or else for all."""
    own = mlir._platform_specific_lowerings[platform]
    return (own.get(primitive) or mlir._lowerings[primitive]).rule


def partitioned(context: mlir.ModuleContext) -> bool:
    """Whether the program that is being lowered is for several devices, and arrays in it are not
    the parts of one of them, as they are under `shard_map`."""
    axes = context.axis_context
    if isinstance(axes, SPMDAxisContext):
        return set(axes.manual_axes) != set(axes.mesh.axis_names)
    return isinstance(axes, ShardingContext) and axes.num_devices != 1
