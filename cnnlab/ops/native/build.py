"""Compiles the native engine into the user's cache folder, once for each set of its inputs."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jax
import jaxlib

from cnnlab.files import cache_dir, locked, remove, replace_file, seal, unseal
from cnnlab.machine import processor

SOURCES = Path(__file__).parent / "src"
FLAGS = ("-O2", "-march=native", "-std=c++17", "-fPIC", "-fopenmp", "-pipe")
PACKAGES = ("onednn-cpu-gomp", "onednn-devel-cpu-gomp")
_ATTENDED = Path(__file__).with_name("attended.py")
_LONGEST = 600  # seconds that one call of the compiler may take

_log = logging.getLogger("cnnlab")


class BuildError(RuntimeError):
    """Why the engine can't be built here, in one line."""


@dataclass(frozen=True)
class OneDNN:
    """Where the packages have put oneDNN."""

    version: str
    library: Path
    include: Path


def find_onednn() -> OneDNN:
    """The installed oneDNN.

    **Raises:** `BuildError`: a package is missing.
    """
    try:
        library = _installed(PACKAGES[0], "libdnnl.so.3")
        header = _installed(PACKAGES[1], "dnnl.hpp")
    except metadata.PackageNotFoundError as error:
        raise BuildError(f"the package {error.name} is not installed") from None
    return OneDNN(metadata.version(PACKAGES[0]), library, header.parent)


def _installed(package: str, name: str) -> Path:
    for file in metadata.files(package) or ():
        if file.name == name and (path := Path(str(file.locate()))).exists():
            return path.resolve().parent / name
    raise BuildError(f"the package {package} has no {name}")


def find_compiler() -> tuple[str, str]:
    """A C++ compiler and the line with its version; `CXX` names another one.

    **Raises:** `BuildError`: there is none, or it can't be run.
    """
    named = os.environ.get("CXX", "")
    candidates = [named] if named else ["g++", "c++", "clang++"]
    for candidate in candidates:
        if path := shutil.which(candidate):
            try:
                out = subprocess.run(
                    [path, "--version"], capture_output=True, text=True, timeout=60, check=True
                ).stdout
            except (OSError, subprocess.SubprocessError) as error:
                raise BuildError(f"{path} --version: {error}") from None
            return path, out.splitlines()[0] if out else path
    raise BuildError(f"no C++ compiler: looked for {', '.join(candidates)}")


def build() -> bytes:
    """The compiled library, made if this version of it was not made before or what is there of it
    is damaged.

    Another process that builds is waited for. A build that was killed leaves the sources that it
    has compiled to the next one, and no compiler running.

    **Raises:** `BuildError`: it can't be made, and why.
    """
    try:
        file = library_file()
        if (library := _read(file)) is not None:
            return library
        with locked(file.parent / ".lock"):
            if (library := _read(file)) is None:
                library = _make(file)
        return library
    except OSError as error:
        raise BuildError(f"{error.filename or 'cache'}: {error.strerror or error}") from None


def library_file() -> Path:
    """Where the library is kept, sealed: its name says all that it is made of.

    **Raises:** `BuildError`: what it is made of is missing; `OSError`: there is no cache folder.
    """
    return cache_dir() / "native" / f"cnnlab-{_key(find_onednn(), find_compiler()[1])}.so"


def _key(onednn: OneDNN, compiler_version: str) -> str:
    sources = [part for file in sorted(SOURCES.iterdir()) for part in (file.name, file.read_text())]
    parts = [*sources, *FLAGS, compiler_version, jaxlib.__version__, onednn.version, processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _read(file: Path) -> bytes | None:
    """What was sealed in a file; None where it is missing, damaged or no file."""
    try:
        return unseal(file.read_bytes())
    except OSError:
        return None


def _make(file: Path) -> bytes:
    """Compile and link in a folder beside `file`. Under the lock of all builds."""
    found = "damaged, building it again" if file.exists() else "building it, once"
    _log.warning("native engine: %s, in %s", found, file.parent)
    remove(file)
    work = file.with_name(f".{file.stem}.building")
    for leftover in (*file.parent.glob(".*.building"), *file.parent.glob("*.part")):
        if leftover != work:
            remove(leftover)
    try:
        work.mkdir(exist_ok=True)
        library = _compile(work).read_bytes()
        replace_file(file, lambda out: out.write(seal(library)))
    except (BuildError, OSError):
        # A full disk gets back what this took of it; only after a kill is there more to do.
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    return library


def _compile(work: Path) -> Path:
    """The library, made in `work` from one sealed object for each source."""
    onednn, (compiler, _) = find_onednn(), find_compiler()
    includes = [f"-I{onednn.include}", f"-isystem{jax.ffi.include_dir()}"]

    def compile_source(source: Path) -> str:
        target = work / f"{source.stem}.o"
        if _read(target) is None:
            part = target.with_suffix(".part")
            call([compiler, *FLAGS, *includes, "-c", str(source), "-o", str(part)])
            replace_file(target, lambda out: out.write(seal(part.read_bytes())))
        return str(target)

    library = work / "library.so"
    # All in threads: what interrupts this one then finds the compiler attended.
    with ThreadPoolExecutor(os.cpu_count()) as pool, _attended_calls(work) as call:
        objects = list(pool.map(compile_source, sorted(SOURCES.glob("*.cc"))))
        link = [compiler, *FLAGS, "-shared", *objects, str(onednn.library), "-o", str(library)]
        pool.submit(call, link).result()
    return library


@contextmanager
def _attended_calls(work: Path) -> Iterator[Callable[[list[str]], None]]:
    """A function that runs the compiler. What it runs ends with this context, and with this
    process, however that ends.

    `work` takes what the compiler leaves for itself.
    """
    theirs, ours = os.pipe()

    def call(command: list[str]) -> None:
        attended = [sys.executable or "python3", "-IS", str(_ATTENDED), str(_LONGEST)]
        done = subprocess.run(
            [*attended, *command],
            stdin=theirs,
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(work)},
            start_new_session=True,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            reason = lines[0] if lines else f"exit status {done.returncode}"
            raise BuildError(f"{command[0]} failed: {reason}")

    try:
        yield call
    finally:
        os.close(ours)
        os.close(theirs)
