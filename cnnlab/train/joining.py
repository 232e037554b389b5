"""Joining the processes of a run: from settings, or from what a cluster says, to `Processes`."""

import atexit
import contextlib
import ctypes
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Literal

import jax

from cnnlab.jax_internals import cluster, has_begun
from cnnlab.train.links import Links, meet
from cnnlab.train.processes import Processes, broadcast

_NEVER = 10**6  # seconds: `Links` is sooner
_BEGINNING_OF_THE_END = re.compile(rb"[EF]\d{4} [\d:.]+ +\d+ (coordination_|client\.h)")

_joined: tuple[tuple[object, ...], Processes] | None = None


def join(
    count: int | Literal["auto"] | None,
    index: int | None,
    coordinator: str | None,
    *,
    timeout: int | float = 120,
) -> Processes:
    """Become one of the processes of a run; again with the same arguments, the same one.

    **Arguments:**

    - `count`: how many; "auto": as SLURM, Open MPI, Kubernetes or Cloud TPU say; None: this one.
    - `index`, `coordinator`: this one's number, and `host:port` where process 0 can be reached.
    - `timeout`: seconds in which all have to be there.

    **Raises:** `ValueError` that begins with the argument's name (`processes`, `process`, ...).
    """
    global _joined
    asked = count, index, coordinator
    if _joined is not None:
        if _joined[0] != asked:
            raise ValueError(f"processes: this process is one of {_joined[1].count} already")
        return _joined[1]
    own_devices = None
    if count == "auto":
        if (index, coordinator) != (None, None):
            name = "process" if index is not None else "coordinator"
            raise ValueError(f"{name}: expected null, as processes=auto finds it, got {index}")
        coordinator, count, index, own_devices = cluster(int(timeout))
        if coordinator is None or count is None or index is None:
            raise ValueError(
                "processes: auto found no SLURM, Open MPI, Kubernetes or Cloud TPU here; expected "
                "a number, with runtime.process and runtime.coordinator=host:port"
            )
    elif count in (None, 1) and coordinator is None:
        if index:
            raise ValueError(f"process: expected processes=... with it, got {index} alone")
        return Processes()
    address = _address(count, index, coordinator)
    if count == 1:
        return Processes()
    if has_begun():
        raise ValueError("processes: jax has begun in this process; they are joined before it does")
    assert isinstance(count, int) and index is not None
    _joined = asked, _joined_at(address, count, index, own_devices, timeout)
    return _joined[1]


def _address(count: object, index: int | None, coordinator: str | None) -> tuple[str, int]:
    if not isinstance(count, int):
        raise ValueError("processes: expected how many there are, with coordinator, got null")
    if index is None or index >= count:
        raise ValueError(f"process: expected this one's number, from 0 to {count - 1}, got {index}")
    host, _, port = (coordinator or "").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"coordinator: expected host:port, where process 0 can be reached, got {coordinator!r}"
        )
    return host.strip("[]"), int(port)


def _joined_at(
    address: tuple[str, int],
    count: int,
    index: int,
    own_devices: Sequence[int] | None,
    timeout: int | float,
) -> Processes:
    connections, names, port = meet(index, count, address, timeout)
    links = Links(index, connections, names)
    streams = _quiet_errors()
    links.start()
    atexit.register(_leave, links, streams)
    host = address[0]
    os.environ["no_grpc_proxy"] = host  # noqa: SIM112
    for name, value in {
        "jax_check_proxy_envs": False,
        "jax_enable_preemption_service": False,  # signals are the loop's
        "jax_cpu_collectives_implementation": "gloo",
    }.items():
        jax.config.update(name, value)
    jax.distributed.initialize(
        f"{host}:{port}",
        count,
        index,
        own_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=int(timeout),
        heartbeat_timeout_seconds=_NEVER,
        coordinator_bind_address=f"{host}:{port}" if host in ("localhost", "127.0.0.1") else None,
    )
    if index:
        logging.getLogger("cnnlab").setLevel(logging.WARNING)
    processes = Processes(index, count, links)
    with _quiet_output():
        broadcast(b"all here")  # Gloo says on standard output whom it has found
    return processes


def _leave(links: Links, streams: "_Streams") -> None:
    """At the end of the process, before jax's own end, which waits for the other processes."""
    if links.status == 0:
        links.done()
        return
    if links.status is None:
        links.fail("it left before the run was over")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    streams.close()
    os._exit(links.status or 1)


class _Streams:
    """Standard error without what C++ has to say as a process is lost.

    jax ends a process whose coordinator is gone by SIGABRT, with a page on its descriptor 2. Here
    that page is left out, and SIGABRT waits for some seconds, in which `Links` says what happened.
    """

    def __init__(self) -> None:
        sys.stderr.flush()
        self._own = os.dup(2)
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        sys.stderr = os.fdopen(self._own, "w", 1, errors="backslashreplace", closefd=False)
        self._thread = threading.Thread(target=self._pass_on, args=(os.fdopen(reading, "rb"),))
        self._thread.daemon = True
        self._thread.start()

    def _pass_on(self, lines: IO[bytes]) -> None:
        over = False
        for line in lines:
            over = over or _BEGINNING_OF_THE_END.match(line) is not None
            if not over:
                os.write(self._own, line)

    def close(self) -> None:
        os.dup2(self._own, 2)
        self._thread.join(1)


def _quiet_errors() -> _Streams:
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    # A signal's handler gets its number: for 6 seconds.
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
    return _Streams()


@contextlib.contextmanager
def _quiet_output() -> Iterator[None]:
    sys.stdout.flush()
    own, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(own, 1)
        os.close(own)
        os.close(nowhere)
