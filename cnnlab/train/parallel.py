"""Where a step runs: on one device, on replicas by `pmap`, on a mesh by `shard_map`.

All three take the same pure step and give the same loss curve: what is random is drawn for the
whole batch, gradients and batch statistics are averaged over the axis `nn.replicas.AXIS`.

A runtime keeps the arrays of the state on its devices; `place` puts them there, `fetch` brings them
back as an ordinary `TrainState`. A mesh may be of the devices of several processes: each of them
runs the same program on its part of every batch.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, PyTree

from cnnlab.arguments import checked
from cnnlab.data.batches import Batch
from cnnlab.nn.replicas import AXIS
from cnnlab.train.joining import join
from cnnlab.train.processes import Processes
from cnnlab.train.sharding import across, cut, here
from cnnlab.train.state import TrainState
from cnnlab.train.step import Metrics, Prepare, Step

Fetch = Callable[[PyTree, PyTree], Batch]
Compiled = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, Metrics]]


def _make_devices(number: int | None) -> None:
    """On a CPU, so many, if jax has not begun."""
    if number is not None and number < 1:
        raise ValueError(f"devices: expected a number >= 1 or null, got {number}")
    if number is not None:
        try:
            if number > jax.config.values["jax_num_cpu_devices"]:
                jax.config.update("jax_num_cpu_devices", number)
        except RuntimeError:  # the backend runs already: its devices are what there is
            pass


def _choose_devices(devices: int | None, number: int = 1) -> list[jax.Device]:
    """The first `devices`, as many of each of a `number` of processes, one's after the other's."""
    there = [jax.local_devices(i) for i in range(number)] if number > 1 else [jax.devices()]
    least = min(map(len, there))
    if devices is not None and (devices > least * number or devices % number):
        where = "on this machine" if number == 1 else f"and a multiple of the {number} processes"
        raise ValueError(f"devices: expected at most {least * number} {where}, got {devices}")
    each = least if devices is None else devices // number
    return [device for own in there for device in own[:each]]


def _split(state: TrainState) -> tuple[PyTree, PyTree]:
    return eqx.partition(state, eqx.is_array)


class Runtime(abc.ABC):
    """What the training loop asks of a runtime.

    **Attributes:**

    - `devices`: the devices it uses; the batch is divided evenly between them.
    - `processes`: those whose devices these are.
    """

    devices: list[jax.Device]
    processes: Processes = Processes()

    @property
    def part(self) -> tuple[int, int]:
        """The share of each batch that this process reads, `(i, n)`: the i-th of n."""
        return self.processes.index, self.processes.count

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

    def spread(self, rows: PyTree) -> PyTree:
        """What stands for a batch, from this process's part of its rows."""
        return rows

    def any(self, flag: bool) -> Array | np.ndarray:
        """Whether a flag is up in any process; all have to ask. It may still be on its way."""
        return np.asarray(flag)

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
        self.devices = jax.devices()[:1]

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

    **Arguments:**

    - `devices`: how many, of all processes; `None` for all.
    - `processes`, `process`, `coordinator`: how many processes make this run, which this one is,
        from 0, and `host:port` where process 0 can be reached (`train.joining.join`); "auto": as
        SLURM, Open MPI, Kubernetes or Cloud TPU say.
    - `timeout`: seconds in which all processes have to be there.
    - `launch`: for the command line, which starts so many processes; refused here.
    - `shard_state`: whether parameters and the optimizer's state are shared out over the devices
        (`train.sharding.cut`). XLA then cuts the whole step, and gathers what a layer needs.
    """

    def __init__(
        self,
        devices: int | None = None,
        processes: int | Literal["auto"] | None = None,
        process: int | None = None,
        coordinator: str | None = None,
        timeout: int | float = 120,
        launch: int | None = None,
        shard_state: bool = False,
    ) -> None:
        if launch is not None:
            raise ValueError(
                f"launch: expected null, as only one run on the command line starts processes, "
                f"got {launch}"
            )
        own = devices
        if devices is not None and isinstance(processes, int):
            own = devices // processes
        _make_devices(own)
        self.processes = join(processes, process, coordinator, timeout=timeout)
        self.devices = _choose_devices(devices, self.processes.count)
        self.shard_state = shard_state
        everywhere = NamedSharding(self.mesh(), P())
        self._any = jax.jit(jax.numpy.max, out_shardings=everywhere)

    def replicate(self, arrays: PyTree) -> PyTree:
        if self.processes.count == 1:
            return super().replicate(arrays)
        everywhere = NamedSharding(self.mesh(), P())
        return jax.tree.map(lambda x: across(x, everywhere), arrays)

    def spread(self, rows: PyTree) -> PyTree:
        if self.processes.count == 1:
            return rows
        along = NamedSharding(self.mesh(), P(AXIS))
        return jax.tree.map(partial(jax.make_array_from_process_local_data, along), rows)

    def any(self, flag: bool) -> Array | np.ndarray:
        if self.processes.count == 1:
            return super().any(flag)
        own = len(self.devices) // self.processes.count
        return self._any(self.spread(np.full(own, flag, np.uint8)))

    def place(self, state: TrainState) -> PyTree:
        arrays = _split(state)[0]
        if not self.shard_state:
            return self.replicate(arrays)
        put = jax.device_put if self.processes.count == 1 else across
        return jax.tree.map(put, arrays, self._shardings(arrays))

    def fetch(self, arrays: PyTree, like: TrainState) -> TrainState:
        if self.processes.count > 1:
            arrays = jax.tree.map(here, arrays)
        return super().fetch(arrays, like)

    def _shardings(self, arrays: PyTree) -> PyTree:
        mesh = self.mesh()
        return jax.tree.map(lambda x: NamedSharding(mesh, cut(x.shape, mesh.size)), arrays)

    def compile(self, step: Step, prepare: Prepare, fetch: Fetch, like: TrainState) -> Compiled:
        begun, static = _split(like)
        mesh = self.mesh()

        def whole(arrays: PyTree, batch: Batch) -> tuple[PyTree, Metrics]:
            state, metrics = step(eqx.combine(arrays, static), batch)
            return _split(state)[0], metrics

        # check_vma off: gradients are averaged by hand in the step, as under pmap.
        local = jax.shard_map(
            whole, mesh=mesh, in_specs=(P(), P(AXIS)), out_specs=(P(), P()), check_vma=False
        )
        own, shardings = local, None
        if self.shard_state:
            own, shardings = whole, (self._shardings(begun), NamedSharding(mesh, P()))

        @partial(jax.jit, donate_argnums=0, out_shardings=shardings)
        def run(arrays: PyTree, resident: PyTree, handle: PyTree) -> tuple[PyTree, Metrics]:
            batch = prepare(fetch(resident, handle), arrays.key, arrays.step)
            sharded = jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, P(AXIS)))
            return own(arrays, sharded)

        return run


@checked
class Pmap(Runtime):
    """Replicas by `jax.pmap`: every array of the state has a leading axis of devices.

    **Arguments:** `devices`, how many of this host's; `None` for all.
    """

    def __init__(self, devices: int | None = None) -> None:
        _make_devices(devices)
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
