"""Files that appear whole or not at all, and where this package keeps what it made."""

import atexit
import contextlib
import errno
import hashlib
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cnnlab.errors import WriteError

JsonObject = dict[str, Any]

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cache_dir() -> Path:
    """cnnlab's folder in the user's cache: `$XDG_CACHE_HOME/cnnlab` or `~/.cache/cnnlab`.

    A variable that is empty or not an absolute path says nothing (so the XDG Base Directory
    Specification); the home folder is then that of the system's list of users.

    **Raises:** `OSError`: neither knows a folder.
    """
    base, home = (Path(os.environ.get(name, "")) for name in ("XDG_CACHE_HOME", "HOME"))
    if base.is_absolute():
        return base / "cnnlab"
    if not home.is_absolute():
        home = _home_of_user()
    return home / ".cache" / "cnnlab"


def _home_of_user() -> Path:
    with contextlib.suppress(ImportError, KeyError):  # not on Windows; a user without a name
        import pwd

        if (home := Path(pwd.getpwuid(os.getuid()).pw_dir)).is_absolute():
            return home
    raise FileNotFoundError(
        errno.ENOENT, "no home folder: set it to an absolute path", "XDG_CACHE_HOME"
    )


def lend_matplotlib_a_folder() -> None:
    """Give matplotlib, before it loads, a folder in ours, or a temporary one if ours is closed.

    It would print two lines where it can't write in the home folder, and take a relative `HOME` as
    it is. A folder that the user chose by `MPLCONFIGDIR` stays.
    """
    if os.environ.get("MPLCONFIGDIR") or "matplotlib" in sys.modules:
        return
    folder = None
    try:
        folder = cache_dir() / "matplotlib"
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if folder is None or not usable:
        folder = Path(tempfile.mkdtemp(prefix="cnnlab-matplotlib-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = str(folder)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; another process that asks for it waits.

    The system releases the lock of a process that dies.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes `target` when the body ends without error.

    To be used under a lock: leftovers of a process that was killed in here are removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.part-"
    for leftover in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield part
        # mkdtemp's folder is for its owner only; a data directory may be shared.
        part.chmod(0o755)
        for path in (*part.rglob("*"), part):
            _sync(path)
        if target.exists():
            shutil.rmtree(target)
        os.replace(part, target)
        _sync(target.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name beside `path`, then rename it to `path`.

    Its content is on the disk before its name is: not even a power cut leaves half of it.

    **Raises:** `OSError`: it could not be written; what stood at `path` before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{threading.get_native_id()}.tmp")
    try:
        part.unlink(missing_ok=True)  # of a process that was killed here
        with part.open("xb") as file:
            write(file)
        _sync(part)
        os.replace(part, path)
        _sync(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def try_writing(path: Path) -> None:
    """Try whether a file could be made at `path`, whose folder need not be there: it stays so.

    **Raises:** `OSError` that names what is in the way.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    try:  # what may be written is not told by permissions alone
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or what was there before.

    **Raises:** `WriteError`: as `replace_file`'s, in a line that names the file.
    """
    try:
        replace_file(path, lambda file: file.write(content))
    except OSError as error:
        raise WriteError(f"{path}: could not be written: {error.strerror}") from error


def png(figure: "Figure", *, dpi: int = 120) -> bytes:
    """A figure of matplotlib's as the content of a PNG file."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def write_figure(path: Path, figure: "Figure", *, dpi: int = 120) -> None:
    """Draw a figure as a PNG file, which appears whole or not at all.

    **Raises:** `WriteError`: it could not be written.
    """
    write_atomically(path, png(figure, dpi=dpi))


def _sync(path: Path) -> None:
    """Wait until the disk has what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


_DIGEST = hashlib.sha256


def seal(content: bytes) -> bytes:
    """`content` with a checksum behind it, for `unseal`."""
    return content + _DIGEST(content).digest()


def unseal(data: bytes) -> bytes | None:
    """What `seal` was given, or None: this is not as `seal` made it."""
    size = len(data) - _DIGEST().digest_size
    content = data[: max(size, 0)]
    return content if seal(content) == data else None
