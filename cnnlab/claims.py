"""Claims: one process at a time at a place on disk, whichever machines share it.

Only what every shared file system has is used: that of two who create a file, one succeeds. The
claim of a folder is its file `.claim-N` of the highest number N, which says whose it is. One that
was released, or whose owner is dead, is never removed or rewritten by another process, which could
hit a newer one: who takes it over creates N + 1, and only then removes what is older. Its owner
releases it by emptying it and setting its time to 0, for which a full disk has room; removed, its
number could be given twice.

An owner on this machine (same boot, same process namespace) is dead when its process is. Elsewhere
it is when it has shown no sign of life for `STALE` seconds: it sets its file's time every `BEAT`
seconds, and that is compared with the time that the same file system gives to a new file, so that
clocks need not agree.
"""

import contextlib
import json
import os
import platform
import re
import secrets
import threading
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from cnnlab.errors import CnnlabError
from cnnlab.files import JsonObject

BEAT = 10.0
STALE = 120.0  # a shared file system shows a file's time up to a minute late
_NAME = re.compile(r"\.claim-(\d{1,9})", re.ASCII)


class Held(CnnlabError):
    """Another process has the claim of something in `folder`."""

    def __init__(self, folder: Path, message: str) -> None:
        super().__init__(folder, message)
        self.folder, self.message = folder, message

    def __str__(self) -> str:
        return f"{self.folder}: {self.message}"


@dataclass(frozen=True)
class Owner:
    """A process: its machine, its number there, and when it began, in the machine's own words."""

    machine: str
    process: int
    begun: str

    def lives(self) -> bool | None:
        """Whether it does; None where that can't be told from here."""
        if self.machine != _machine():
            return None
        return _begun(self.process) == self.begun

    def __str__(self) -> str:
        return f": {self.process} on {self.machine.split(' ')[0]}"


def this_process() -> Owner:
    """The process that asks."""
    return Owner(_machine(), os.getpid(), _begun(os.getpid()) or "")


class Claim:
    """The claim of a folder, which exists; not held before `take`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0  # of our own; 0: none
        self._lost = False
        self._let_go = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        """Hold it from now on.

        **Raises:** `Held`: a process has it; `OSError`: no file can be made there.
        """
        while True:
            newest = self._newest()
            if (owner := self._held_by(newest)) is not None:
                raise Held(self.folder, f"another process is at work there{owner}")
            if self._created(newest + 1):
                break
        self._number = newest + 1
        for number in self._numbers():
            if number < self._number:
                self._file(number).unlink(missing_ok=True)
        self._lost = False
        self._let_go.clear()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def free(self) -> bool:
        """Whether nobody has it, as far as can be seen; so of a folder that is not there."""
        try:
            return self._held_by(self._newest()) is None
        except FileNotFoundError:
            return True

    def release(self) -> None:
        """Let go of it. Raises nothing, so what ended the work is what its caller sees."""
        self._let_go.set()
        if self._beating is not None:
            self._beating.join()  # its last sign of life comes before the end
        file, self._number = self._file(self._number), 0
        with contextlib.suppress(OSError):  # somebody removed it, with its folder perhaps
            if _said(file) == asdict(this_process()):  # not one of a folder made since
                _empty(file)

    def check(self) -> None:
        """Refuse to go on where another process has taken it over, which is seen at the next sign
        of life. Reads no disk.

        **Raises:** `Held`.
        """
        if self._lost:
            raise Held(
                self.folder,
                "another process took this over, as this one showed no sign of life for "
                f"{STALE:.0f} s",
            )

    def _file(self, number: int) -> Path:
        return self.folder / f".claim-{number}"

    def _numbers(self) -> list[int]:
        names = map(_NAME.fullmatch, os.listdir(self.folder))
        return [int(match[1]) for match in names if match]

    def _newest(self) -> int:
        return max(self._numbers(), default=0)

    def _created(self, number: int) -> bool:
        """Whether we made this file, and it is the newest: a listing may have been an old one."""
        file = self._file(number)
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            return False
        try:
            file.write_text(json.dumps(asdict(this_process())))
        except OSError:  # a full disk
            _empty(file)
            raise
        if self._newest() == number:
            return True
        file.unlink(missing_ok=True)
        return False

    def _held_by(self, number: int) -> Owner | str | None:
        file = self._file(number)
        try:
            said, seen = _said(file), file.stat().st_mtime
        except FileNotFoundError:  # a newer one is there
            return None
        owner = _owner(said) or ""  # it was killed before it could say, or is just at it
        lives = owner.lives() if isinstance(owner, Owner) else None
        if lives is None:
            lives = seen > 0 and self._now() - seen < STALE
        return owner if lives else None

    def _now(self) -> float:
        """The file system's time."""
        probe = self.folder / f".{secrets.token_hex(8)}.tmp"
        try:
            probe.touch()
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        number = self._number
        while not self._let_go.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._file(number))
                self._lost = self._newest() > number


def _said(file: Path) -> JsonObject:
    try:
        said = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _empty(file: Path) -> None:
    """Make a claim of our own nobody's: without a new block of the disk."""
    os.truncate(file, 0)
    os.utime(file, (0, 0))


def _owner(said: JsonObject) -> Owner | None:
    kinds = {"machine": str, "process": int, "begun": str}
    known = said.keys() == kinds.keys() and all(type(said[n]) is k for n, k in kinds.items())
    return Owner(**said) if known else None


@cache
def _machine() -> str:
    """The host, its boot and its process namespace, where there is such: numbers of processes mean
    nothing elsewhere."""
    parts = [platform.node() or "unnamed"]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _begun(process: int) -> str | None:
    """When a process of this machine began; empty where that isn't known, None of none."""
    try:
        # Its number, its command in brackets, its state, and 19 fields further on its begin.
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
