"""Getting files onto this machine: the Debian package, the network, and how to fail at once."""

import functools
import os
import shutil
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cnnlab.data.idx import has_idx_files
from cnnlab.files import appearing, cache_dir, locked

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist keeps its files."""

_PACKAGE = "dataset-fashion-mnist"
_PROBE_SECONDS = 5.0
# A stalled mirror must not stall the command; 30 MB arrive within this on any usable line.
_APT_SECONDS = 300.0
# What apt says when its lists are missing, or name a version that is no longer there.
_NO_LISTS = ("Unable to locate package", "No candidate", "Can't select candidate", "404")
_APT_OPTIONS = (
    *("-o", "Acquire::Retries=0"),
    *("-o", "Acquire::http::Timeout=5"),
    *("-o", "Acquire::https::Timeout=5"),
)


Way = tuple[str, Callable[[], Path | None]]
"""A way to get the data: how messages call it, and what finds the files (None: TFDS downloads)."""


class Unavailable(Exception):
    """A `Way` that does not work here; the message says why."""


def debian_folder() -> Path:
    """The folder of the installed Debian package.

    **Raises:** `Unavailable`: it is not installed.
    """
    if not has_idx_files(DEBIAN_FOLDER):
        raise Unavailable("the Debian package is not installed")
    return DEBIAN_FOLDER


def debian_package() -> Path:
    """The files of the Debian package, fetched and unpacked into the user's cache once.

    **Raises:** `Unavailable`: the tools are missing, or the package can't be had.
    """
    target = cache_dir() / _PACKAGE
    if has_idx_files(target):
        return target
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not on this machine")
    with locked(cache_dir() / f".{_PACKAGE}.lock"):
        if has_idx_files(target):
            return target
        with appearing(target) as part:
            _download_package(part)
    return target


def _download_package(part: Path) -> None:
    """Leave the package's four files, and nothing else, in the folder `part`."""
    with tempfile.TemporaryDirectory(prefix="cnnlab-") as work:
        try:
            _run("apt-get", *_APT_OPTIONS, "download", _PACKAGE, cwd=work)
        except Unavailable as reason:
            if not any(sign in str(reason) for sign in _NO_LISTS):
                raise
            _download_with_own_lists(work)
        packages = list(Path(work).glob(f"{_PACKAGE}_*.deb"))
        if not packages:
            raise Unavailable("apt-get download gave no package")
        _run("dpkg-deb", "-x", str(packages[0]), "unpacked", cwd=work)
        found = Path(work, "unpacked", *DEBIAN_FOLDER.parts[1:])
        if not has_idx_files(found):
            raise Unavailable("the package does not hold the four IDX files")
        for file in found.iterdir():
            shutil.copy(file, part / file.name)


def _download_with_own_lists(work: str) -> None:
    """Fetch the package on a machine whose package lists are missing or old, without root.

    Container images have no lists, and only root may update the system's.
    """
    own = ("-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}/cache")
    for folder in ("lists/partial", "cache/archives/partial"):
        Path(work, folder).mkdir(parents=True)
    _run("apt-get", *_APT_OPTIONS, *own, "update", cwd=work)
    _run("apt-get", *_APT_OPTIONS, *own, "download", _PACKAGE, cwd=work)


def _run(*command: str, cwd: str) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = lines[0].removeprefix("E: ") if lines else f"exit status {done.returncode}"
        raise Unavailable(reason)


def reachable(url: str) -> Callable[[], None]:
    """A check that a server answers, as a way of `obtain`: TFDS itself retries for minutes."""
    return functools.partial(_probe, url)


def _probe(url: str) -> None:
    answers: list[Exception | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=_PROBE_SECONDS).close()
            answers.append(None)
        except urllib.error.HTTPError:
            answers.append(None)  # an answer, if not a kind one: the server is there
        except Exception as error:
            answers.append(error)

    # In a thread: looking up a name has no timeout of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    if not answers:
        raise Unavailable(f"no answer within {_PROBE_SECONDS:.0f} s")
    if answers[0] is not None:
        raise Unavailable(f"not reachable ({answers[0]})")
