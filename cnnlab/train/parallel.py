"""Where a step runs: on one device, on replicas by `pmap`, on a mesh by `shard_map`.

All three take the same pure step and give the same loss curve: what is random is drawn for the
whole batch, gradients and batch statistics are averaged over the axis `nn.replicas.AXIS`.

A runtime keeps the arrays of the state on its devices; `place` puts them there, `fetch` brings them
back as an ordinary `TrainState`.
"""

import abc
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree

from cnnlab.arguments import checked
from cnnlab.data.batches import Batch
from cnnlab.nn.replicas import AXIS
from cnnlab.train.state import TrainState
from cnnlab.train.step import Metrics, Prepare, Step

Fetch = Callable[[PyTree, PyTree], Batch]
Compiled = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, Metrics]]


def _choose_devices(devices: int | None) -> list[jax.Device]:
    """The first `devices` of this machine's; on a CPU that many are made if jax has not begun."""
    if devices is not None and devices < 1:
        raise ValueError(f"devices: expected a number >= 1 or null, got {devices}")
    if devices is not None:
        try:
            if devices > jax.config.values["jax_num_cpu_devices"]:
                jax.config.update("jax_num_cpu_devices", devices)
        except RuntimeError:  # the backend runs already: its devices are what there is
            pass
    found = jax.devices()
    if devices is not None and devices > len(found):
        raise ValueError(f"devices: expected at most {len(found)} on this machine, got {devices}")
    return found if devices is None else found[:devices]


def _split(state: TrainState) -> tuple[PyTree, PyTree]:
    return eqx.partition(state, eqx.is_array)


class Runtime(abc.ABC):
    """What the training loop asks of a runtime.

    **Attributes:**

    - `devices`: the devices it uses; the batch is divided evenly between them.
    """

    devices: list[jax.Device]

    def check_batch_size(self, batch_size: int) -> None:
        """Raises `ValueError` when a batch can't be divided evenly between the devices."""
        if batch_size % len(self.devices):
            raise ValueError(
                f"batch_size: expected a multiple of the {len(self.devices)} devices, "
                f"got {batch_size}"
            )

    def mesh(self) -> Mesh:
        """The devices in a row, along the axis of the replicas."""
        return Mesh(np.asarray(self.devices), (AXIS,))

    def replicate(self, arrays: PyTree) -> PyTree:
        """Arrays on every device (the resident data set, a model to evaluate)."""
        return jax.device_put(arrays, NamedSharding(self.mesh(), P()))

    def place(self, state: TrainState) -> PyTree:
        """The arrays of a state, on the devices."""
        return self.replicate(_split(state)[0])

    def fetch(self, arrays: PyTree, like: TrainState) -> TrainState:
        """The state whose arrays are on the devices; `like` gives what is not an array."""
        return eqx.combine(arrays, _split(like)[1])

    @abc.abstractmethod
    def compile(self, step: Step, prepare: Prepare, fetch: Fetch, like: TrainState) -> Compiled:
        """`(arrays, resident, handle) -> (arrays, metrics)`; the arrays passed in are given up."""


class Jit(Runtime):
    """One device."""

    def __init__(self) -> None:
        self.devices = _choose_devices(None)[:1]

    def compile(self, step: Step, prepare: Prepare, fetch: Fetch, like: TrainState) -> Compiled:
        static = _split(like)[1]

        @partial(jax.jit, donate_argnums=0)
        def run(arrays: PyTree, resident: PyTree, handle: PyTree) -> tuple[PyTree, Metrics]:
            state = eqx.combine(arrays, static)
            batch = prepare(fetch(resident, handle), state.key, state.step)
            state, metrics = step(state, batch)
            return _split(state)[0], metrics

        return run


@checked
class Shard(Runtime):
    """A mesh: one `jit` program in which `shard_map` runs the step on each shard of the batch.

    **Arguments:** `devices`, how many of this host's; `None` for all.
    """

    def __init__(self, devices: int | None = None) -> None:
        self.devices = _choose_devices(devices)

    def compile(self, step: Step, prepare: Prepare, fetch: Fetch, like: TrainState) -> Compiled:
        static = _split(like)[1]
        mesh = self.mesh()

        # check_vma off: gradients are averaged by hand in the step, as under pmap.
        @partial(
            jax.shard_map, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()), check_vma=False
        )
        def local(arrays: PyTree, batch: Batch) -> tuple[PyTree, Metrics]:
            state, metrics = step(eqx.combine(arrays, static), batch)
            return _split(state)[0], metrics

        @partial(jax.jit, donate_argnums=0)
        def run(arrays: PyTree, resident: PyTree, handle: PyTree) -> tuple[PyTree, Metrics]:
            batch = prepare(fetch(resident, handle), arrays.key, arrays.step)
            sharded = jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, P(AXIS)))
            return local(arrays, sharded)

        return run


@checked
class Pmap(Runtime):
    """Replicas by `jax.pmap`: every array of the state has a leading axis of devices.

    **Arguments:** `devices`, how many of this host's; `None` for all.
    """

    def __init__(self, devices: int | None = None) -> None:
        self.devices = _choose_devices(devices)

    def place(self, state: TrainState) -> PyTree:
        # In the very sharding that pmap gives its results: with another it would compile twice.
        n = len(self.devices)
        stacked = jax.tree.map(lambda x: jax.numpy.stack([x] * n), _split(state)[0])
        return jax.device_put(stacked, NamedSharding(self.mesh(), P(AXIS)))

    def fetch(self, arrays: PyTree, like: TrainState) -> TrainState:
        return super().fetch(jax.tree.map(lambda x: x[0], arrays), like)

    def compile(self, step: Step, prepare: Prepare, fetch: Fetch, like: TrainState) -> Compiled:
        static = _split(like)[1]
        n = len(self.devices)

        @partial(jax.jit, out_shardings=NamedSharding(self.mesh(), P(AXIS)))
        def batches(key: Array, step: Array, resident: PyTree, handle: PyTree) -> Batch:
            batch = prepare(fetch(resident, handle), key[0], step[0])
            return jax.tree.map(lambda x: x.reshape(n, -1, *x.shape[1:]), batch)

        @partial(jax.pmap, axis_name=AXIS, devices=self.devices, donate_argnums=0)
        def local(arrays: PyTree, batch: Batch) -> tuple[PyTree, Metrics]:
            state, metrics = step(eqx.combine(arrays, static), batch)
            return _split(state)[0], metrics

        def run(arrays: PyTree, resident: PyTree, handle: PyTree) -> tuple[PyTree, Metrics]:
            arrays, metrics = local(arrays, batches(arrays.key, arrays.step, resident, handle))
            return arrays, jax.tree.map(lambda x: x[0], metrics)

        return run
