"""How the processes of one run find each other, and how each learns that another has ended.

Process 0 listens at the coordinator's address and the others connect to it: a star of TCP
connections, beside those of the computation. The system closes the connection of a process that
dies, which is seen at once; a machine that vanishes falls silent, which is seen after `SILENCE`
seconds. Then every process ends with one line that names it: what it was computing would wait for
ever, or end in a page of C++.
"""

import contextlib
import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

BEAT, SILENCE, GRACE = 2.0, 30.0, 5.0  # seconds
_LONGEST = 2**16  # bytes of a message
_ALIVE, _DONE = b".", b"done"  # all other messages say why the run ends


def meet(
    index: int, count: int, address: tuple[str, int], timeout: int | float
) -> tuple[dict[int, Connection], list[str], int]:
    """Wait until all processes of a run are there.

    **Arguments:** `address`, host and port of process 0; `timeout`, in seconds.

    **Returns:** a process's connections, by the index of the other: process 0 has them all; where
    each process is; a port that is free on process 0's machine.

    **Raises:** `ValueError` that begins with `coordinator`, `process` or `processes`.
    """
    own = {"index": index, "count": count, "where": f"{socket.gethostname()}, pid {os.getpid()}"}
    deadline = time.monotonic() + timeout
    if index:
        link = _connect(address, deadline, timeout)
        link.send_bytes(json.dumps(own).encode())
        try:
            answer = json.loads(link.recv_bytes(_LONGEST))
        except (EOFError, OSError):
            raise ValueError(
                "coordinator: process 0 ended before all the others were there"
            ) from None
        if "refused" in answer:
            raise ValueError(answer["refused"])
        return {0: link}, answer["names"], answer["port"]
    links, names = _gather(own, address, deadline, timeout)
    with socket.create_server(("", 0)) as server:
        free = server.getsockname()[1]
    for link in links.values():
        link.send_bytes(json.dumps({"names": names, "port": free}).encode())
    return links, names, free


def _connect(address: tuple[str, int], deadline: float, timeout: int | float) -> Connection:
    while True:
        try:
            left = max(deadline - time.monotonic(), 0.1)
            found = socket.create_connection(address, timeout=left)
            found.settimeout(None)
            return Connection(found.detach())
        except OSError as error:
            if time.monotonic() > deadline:
                raise ValueError(
                    f"coordinator: process 0 did not answer at {_shown(address)} within "
                    f"{timeout:g} s ({error.strerror or error})"
                ) from error
        time.sleep(0.1)


def _gather(
    own: dict, address: tuple[str, int], deadline: float, timeout: int | float
) -> tuple[dict[int, Connection], list[str]]:
    """Process 0's connections, once it has one of every other process."""
    count, found = own["count"], {0: own}
    links: dict[int, Connection] = {}
    local = address[0] in ("localhost", "127.0.0.1")
    try:
        server = socket.create_server((address[0] if local else "", address[1]))
    except OSError as error:
        raise ValueError(
            f"coordinator: process 0 can't listen at {_shown(address)} ({error.strerror or error})"
        ) from error
    with server:
        while len(links) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                accepted = server.accept()[0]
            except TimeoutError:
                missing = ", ".join(str(i) for i in range(count) if i not in found)
                raise ValueError(
                    f"processes: expected {count} within {timeout:g} s (runtime.timeout), "
                    f"without an answer so far: {missing}"
                ) from None
            accepted.settimeout(None)
            link = Connection(accepted.detach())
            if (hello := _hello(link)) is None:
                continue  # of something else that looks for open ports
            refused = _refused(hello, count, found)
            if refused is not None:
                link.send_bytes(json.dumps({"refused": refused}).encode())
                continue
            links[hello["index"]], found[hello["index"]] = link, hello
    return links, [str(found[i]["where"]) for i in range(count)]


def _hello(link: Connection) -> dict | None:
    try:
        hello = json.loads(link.recv_bytes(_LONGEST)) if link.poll(GRACE) else None
    except (EOFError, OSError, ValueError):
        return None
    there = isinstance(hello, dict) and {"index", "count", "where"} <= hello.keys()
    return hello if there else None


def _refused(hello: dict, count: int, found: dict) -> str | None:
    if hello["count"] != count:
        return f"processes: process 0 is one of {count}, this one of {hello['count']}"
    if hello["index"] in found:
        return (
            f"process: number {hello['index']} is there already ({found[hello['index']]['where']})"
        )
    return None


def _shown(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


class Links(threading.Thread):
    """Watches over the other processes of a run, from a thread.

    `status`: the exit status that the last run calls for; None before one is over.

    **Arguments:** as `meet` gives them; `end`, called with a line when one is gone: it does not
    return.
    """

    def __init__(
        self,
        index: int,
        links: dict[int, Connection],
        names: list[str],
        end: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(name="links", daemon=True)
        self._index, self._open, self._names = index, dict(links), names
        self._end = end or end_at_once
        self._sending = threading.Lock()
        self._done: set[int] = set()
        self._verdict: tuple[float, str] | None = None
        self.failed = False
        self.status: int | None = None

    def done(self) -> None:
        """Tell the others that this process has nothing left to do with them."""
        self._send(_DONE)

    def fail(self, why: str) -> None:
        """Tell the others that this process ends, and why, in a line; nothing that they say counts
        any more."""
        self.failed = True
        # All that fail alike, as where the loss is not a number, say so themselves.
        self._send(_end_of_run(f"{self._called(self._index)} ended: {why}", GRACE))

    def run(self) -> None:
        """Hear and be heard."""
        now = time.monotonic()
        beat, heard = now, dict.fromkeys(self._open, now)
        while (self._open or self._verdict is not None) and not self.failed:
            due = beat + BEAT if self._verdict is None else self._verdict[0]
            ready = wait(list(self._open.values()), timeout=max(0.0, due - now))
            before, now = now, time.monotonic()
            if now - before > 3 * BEAT:  # this process was stopped, and so may be all of them
                heard = dict.fromkeys(self._open, now)
            for other, link in list(self._open.items()):
                if link in ready:
                    heard[other] = now
                    self._hear(other, link)
                elif now - heard[other] > SILENCE:
                    self._lose(other, f"was not heard of for {SILENCE:g} s")
            if now >= beat + BEAT:
                self._send(_ALIVE)
                beat = now
            at, line = self._verdict or (math.inf, "")
            if time.monotonic() >= at and not self.failed:
                self._end(line)
                return

    def _hear(self, other: int, link: Connection) -> None:
        try:
            said = link.recv_bytes(_LONGEST)
        except (EOFError, OSError):
            del self._open[other]
            if other not in self._done:
                self._lose(other, "is gone")
            return
        if said == _DONE:
            self._done.add(other)
        elif said != _ALIVE:
            self._done.add(other)
            self._pronounce(said)

    def _lose(self, other: int, what: str) -> None:
        line = f"{self._called(other)} {what}; the same command goes on from the last checkpoint"
        self._pronounce(_end_of_run(line, 0.0))

    def _pronounce(self, end: bytes) -> None:
        """Let the run end, here and in those that hear of each other from process 0 only."""
        if self._index == 0:
            self._send(end)
        said = json.loads(end)
        at = time.monotonic() + said["grace"]
        if self._verdict is None or at < self._verdict[0]:
            self._verdict = at, said["line"]

    def _called(self, other: int) -> str:
        return f"process {other} of {len(self._names)} ({self._names[other]})"

    def _send(self, message: bytes) -> None:
        with self._sending:
            for link in list(self._open.values()):
                with contextlib.suppress(OSError):  # what ended is noticed where it is read
                    link.send_bytes(message)


def end_at_once(line: str) -> None:
    """End this process, whatever it is waiting for, with a line on standard error."""
    print(f"error: {line}", file=sys.stderr, flush=True)
    os._exit(1)


def _end_of_run(line: str, grace: float) -> bytes:
    return json.dumps({"line": line[:4096], "grace": grace}).encode()
