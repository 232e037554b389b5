"""Foreign calls of a sharded program: each device computes its part.

XLA knows nothing of what is behind a foreign call, and would gather whole arrays for it on every
device.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

import jax
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import Sharding
from jaxtyping import Array, Int

from cnnlab.jax_internals import cut_along, parts_along

Result = TypeVar("Result")
# Names of an array's axes: those of one name are cut alike.
Axes: TypeAlias = Sequence[str]
_devices: ContextVar[tuple[jax.Device, ...]] = ContextVar("_devices", default=())


@contextmanager
def for_devices(devices: tuple[jax.Device, ...]) -> Iterator[None]:
    """For what is traced inside: the devices that XLA will cut the program for; none: one."""
    token = _devices.set(devices)
    try:
        yield
    finally:
        _devices.reset(token)


def in_parts(
    run: Callable[..., Result],
    operands: Sequence[Axes],
    results: Sequence[Axes],
    along: Sequence[str],
) -> Callable[..., Result]:
    """`run` for arrays that XLA has cut: each device computes its part along one axis, with all of
    the others.

    **Arguments:**

    - `run`: gives an array, or a tuple where there are several results; of parts, parts.
    - `operands`, `results`: names of the axes of each. What no result has is summed over.
    - `along`: axes that may be cut, best one first.
    """
    devices = _devices.get()
    if not devices:
        return run
    every = (*operands, *results)
    kept = {name for axes in results for name in axes}
    axes_of_operands = dict.fromkeys(name for axes in operands for name in axes)
    summed = [name for name in axes_of_operands if name in along and name not in kept]

    def partition(mesh, arg_shapes, result_shape):
        del mesh
        arrays = (*arg_shapes, *jax.tree.leaves(result_shape))
        name, parts = _cut(arrays, every, along, summed)

        def cut(axes: Axes) -> Sharding:
            at = axes.index(name) if name in axes else None
            return cut_along(at, len(axes), parts, devices)

        def local(*operands: Array) -> Result:
            # What is traced in here is of one device: no mesh, explicit or not.
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                y = run(*operands)
                if name not in summed:
                    return y
                alike = parts.reshape(len(parts), -1).T.tolist()
                return jax.lax.psum(y, "devices", axis_index_groups=alike)

        made = jax.tree.unflatten(jax.tree.structure(result_shape), map(cut, results))
        return jax.sharding.Mesh(devices, "devices"), local, made, tuple(map(cut, operands))

    partitioned = custom_partitioning(run)
    partitioned.def_partition(
        partition,
        decode_shardings=False,
        sharding_rule=" -> ".join(", ".join(map(" ".join, side)) for side in (operands, results)),
        reduction_factors=tuple(summed),
    )

    # XLA's program holds an address in the place of what runs, and the cache on disk goes by the
    # program: its content as a name.
    def named(*operands: Array) -> Result:
        return partitioned(*operands)

    def call(*operands: Array) -> Result:
        content = f"{jax.make_jaxpr(run)(*operands)}"
        named.__name__ = f"cnnlab_{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        return jax.jit(named)(*operands)

    return call


def _cut(
    arrays: Sequence, every: Sequence[Axes], along: Sequence[str], summed: Sequence[str]
) -> tuple[str | None, Int[np.ndarray, "parts same manual"]]:
    """The axis to cut along, or None, and which devices have which part of it.

    One that is cut as it is; else, where another is, the first that all devices can have a part of.
    """
    cuts, sizes = {}, {}
    for array, axes in zip(arrays, every, strict=True):
        for i, name in enumerate(axes):
            parts = parts_along(array.sharding, i)
            sizes[name] = array.shape[i]
            # A last part that is not full is filled up with anything: no term of a sum.
            if len(parts) > 1 and (name not in summed or sizes[name] % len(parts) == 0):
                cuts.setdefault(name, parts)
    for name in along:
        if name in cuts:
            return name, cuts[name]
    devices = parts_along(arrays[0].sharding, 0)
    whole = devices.reshape(1, -1, devices.shape[-1])
    each = devices.reshape(-1, 1, devices.shape[-1])
    for name in along:
        if cuts and name not in summed and sizes[name] % len(each) == 0:
            return name, each
    return None, whole
