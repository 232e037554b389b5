"""The processes that make one run together: what they share, and how they agree.

All of them run the same program on a share of each batch; process 0 alone writes. What only it can
know (files, locks) the others are told; what any of them may be asked (to stop) they vote on.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator

import numpy as np
from jax.experimental import multihost_utils

from cnnlab.errors import CnnlabError, ConfigError, Interrupted
from cnnlab.train.links import GRACE, SILENCE, Links

_CHUNK = 2**24  # bytes at a time
_VERDICT = SILENCE + 2 * GRACE  # seconds in which `Links` finds out who is gone
_KINDS = (CnnlabError, ConfigError)
# What a computation says when another process has left it.
_LEFT = re.compile("gloo|nccl|mpi|connection|unavailable|deadline|coordination", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes of a run, and which of them this one is.

    - `index`, `count`: this one's number, and how many there are.
    """

    index: int = 0
    count: int = 1
    _links: Links | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.index == 0

    def from_first(self, work: Callable[[], bytes]) -> bytes:
        """What `work` gives in process 0, in all of them; it is not called in the others.

        **Raises:** the `CnnlabError` of process 0, in all of them.
        """
        if self.count == 1:
            return work()
        told, raised = b"", None
        if self.first:
            try:
                told = b"\2" + work()
            except CnnlabError as error:
                told, raised = bytes([isinstance(error, ConfigError)]) + str(error).encode(), error
        told = broadcast(told)
        if raised is not None:
            raise raised
        if told[0] < len(_KINDS):
            raise _KINDS[told[0]](told[1:].decode())
        return told[1:]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A run: where it fails here, the others are told, and end too."""
        if self._links is None:
            yield
            return
        try:
            yield
        except BaseException as error:
            if isinstance(error, Interrupted):
                self.from_first(bytes)  # which writes a checkpoint: until then nobody leaves
            text = (str(error).splitlines() or [""])[0]
            known = isinstance(error, CnnlabError | KeyboardInterrupt)
            if not known and _LEFT.search(text):
                self._links.join(_VERDICT)  # which names it, and ends this process
            self._links.status = _status(error)
            self._links.fail(text if known else f"{type(error).__name__}: {text}")
            raise
        self._links.status = 0


def _status(error: BaseException) -> int:
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, ConfigError) else 1


def broadcast(content: bytes) -> bytes:
    """The bytes that process 0 has, in all processes."""
    size = np.frombuffer(len(content).to_bytes(8, "little"), np.uint8)
    length = int.from_bytes(multihost_utils.broadcast_one_to_all(size).tobytes(), "little")
    chunk = min(_CHUNK, 1 << (length - 1).bit_length())  # of few sizes: each is a program
    parts = []
    for start in range(0, length, chunk):
        part = np.zeros(chunk, np.uint8)
        own = np.frombuffer(content[start : start + chunk], np.uint8)
        part[: len(own)] = own
        parts.append(multihost_utils.broadcast_one_to_all(part).tobytes())
    return b"".join(parts)[:length]
