"""One network in one mode in a process of its own: what is compiled in one never serves another.

    python -m cnnlab.bench.models.worker

reads lines of JSON, the first `{"network", "batch", "size", "mode", "seed"}`, the others
`{"do": name, "which": pass}`, and answers each with a line: what the method of that name gives, or
`{"failed": message}`.
"""

import contextlib
import ctypes
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.accelerate import accelerate
from cnnlab.bench.models.catalogue import NETWORKS, Case
from cnnlab.bench.models.program import Program
from cnnlab.bench.models.shares import shares
from cnnlab.bench.models.torch_networks import calls

ROUNDING = 1e-6  # of float32, after a few sums
BRIEF = 10.0  # seconds: calls that take less have a call before them that isn't timed
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class TorchWorker:
    """A network on PyTorch, by pass a function without arguments."""

    def __init__(self, calls: Mapping[str, Callable[[], Any]]) -> None:
        self._calls = calls

    def compile(self, which: str) -> dict[str, Any]:
        """A first call, in which a compiler runs."""
        start = time.perf_counter()
        self.call(which)
        return {"seconds": time.perf_counter() - start}

    def call(self, which: str) -> None:
        self._calls[which]()


class JaxWorker:
    """A program as JAX compiles it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._carry = program.begin()
        self._inputs = program.inputs
        self._compiled: dict[str, Any] = {}

    def compile(self, which: str) -> dict[str, Any]:
        """The seconds from Python to a program, and the bytes that the program works in."""
        start = time.perf_counter()
        if which == "forward":
            lowered = jax.jit(self._program.forward).lower(*self._arguments(which))
        else:
            lowered = jax.jit(self._program.step, donate_argnums=0).lower(*self._arguments(which))
        compiled = self._compiled[which] = lowered.compile()
        seconds = time.perf_counter() - start
        memory: Any = compiled.memory_analysis()
        return {"seconds": seconds, "bytes": memory.temp_size_in_bytes}

    def _arguments(self, which: str) -> tuple[Any, ...]:
        batch = self._inputs, self._program.labels
        parameters, _, state = self._carry
        return (parameters, state, batch[0]) if which == "forward" else (self._carry, *batch)

    def call(self, which: str) -> Any:
        result = jax.block_until_ready(self._compiled[which](*self._arguments(which)))
        if which == "step":
            self._carry, result = result
        return result

    def check(self, which: str) -> dict[str, Any]:
        """Some outputs of the forward pass; the loss of a first step, and of the gradient of each
        parameter its size and its part in some direction."""
        result = np.asarray(self.call(which)).astype(np.float64).ravel()
        if which == "forward":
            return {"outputs": result[:: max(1, result.size // 1000)].tolist()}
        found = {}
        _, momentum, _ = self._carry  # after one step it is the gradient
        for path, leaf in jax.tree_util.tree_leaves_with_path(momentum):
            gradient = np.asarray(leaf).astype(np.float64).ravel()
            direction = np.resize(_DIRECTION, gradient.size)
            parts = np.linalg.norm(gradient), gradient @ direction
            found[jax.tree_util.keystr(path)] = [float(v) for v in parts]
        return {"loss": float(result[0]), "gradients": found}

    def disturbed(self, which: str) -> dict[str, Any]:
        """The `check` of a first call with inputs and weights that differ by what rounding makes
        of numbers: those of the weights, as rounding does, in every layer."""
        inputs, carry = self._inputs, self._carry
        noise = np.random.default_rng(0)

        def rounded(x: Any) -> Any:
            factors = 1 + ROUNDING * noise.standard_normal(x.shape)
            floats = jnp.issubdtype(x.dtype, jnp.floating)
            return x * jnp.asarray(factors, x.dtype) if floats else jnp.copy(x)

        self._inputs = rounded(inputs)
        parameters, *others = carry  # a step uses up what it is given
        self._carry = (jax.tree.map(rounded, parameters), *jax.tree.map(jnp.copy, others))
        try:
            return self.check(which)
        finally:
            self._inputs, self._carry = inputs, carry

    def profile(self, which: str) -> dict[str, Any]:
        """The share of a call's time by kind of work, and the slowest instructions."""
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                self.call(which)
            [trace] = Path(folder).rglob("*.xplane.pb")
            return shares(self._compiled[which].as_text(), trace)


Worker: TypeAlias = TorchWorker | JaxWorker

# As long as a prime number, so that no shape repeats it in step.
_DIRECTION = np.random.default_rng(0).standard_normal(4093)


def timed(worker: Worker, which: str) -> dict[str, Any]:
    """The seconds of a call; a brief one is like one of many in a loop, though others took their
    turns: its threads are awake, its data are where the call before left them, and the memory that
    it freed is not yet given to others (a virtual machine's host takes it back within seconds, and
    what asks for large pages then pays more)."""
    for _ in range(2):
        start = time.perf_counter()
        worker.call(which)
        seconds = time.perf_counter() - start
        if seconds > BRIEF:
            break
    return {"seconds": seconds}


def peak(worker: Worker, which: str) -> dict[str, Any]:
    """The most memory that the process holds during a call, in bytes; None but on Linux."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what the compiler has left goes back
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        _CLEAR.write_text("5")  # the mark of the most begins anew
        worker.call(which)
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return {"bytes": 1024 * int(lines["VmHWM"].split()[0])}
    except OSError:
        return {"bytes": None}


def answer(worker: Any, request: Mapping[str, str]) -> dict[str, Any]:
    """What a request asks of a worker."""
    do, which = request["do"], request["which"]
    if do in ("call", "peak"):
        return {"call": timed, "peak": peak}[do](worker, which)
    return getattr(worker, do)(which)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    worker: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker, found = begun(**request), {}
            else:
                found = answer(worker, request)
        except Exception as problem:  # its own failure is one of the results
            found = {"failed": " ".join(f"{type(problem).__name__}: {problem}".split())[:300]}
        answers.write(json.dumps(found) + "\n")


def begun(network: str, batch: int, size: int, mode: str, seed: int) -> Worker:
    """The worker of a mode (`jax`, `accelerated`, `torch`, `torch compiled`), its network made; the
    process is then of that mode."""
    case = Case(network, batch, size)
    if mode in ("jax", "accelerated"):
        jax.config.update("jax_enable_compilation_cache", False)
        accelerate(mode == "accelerated")
        return JaxWorker(case.build(seed))
    peer, compiled = NETWORKS[network].peer, mode == "torch compiled"
    return TorchWorker(calls(peer, batch, size, seed, compiled=compiled))


if __name__ == "__main__":
    main()
