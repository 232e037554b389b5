"""Compiles the native engine into the user's cache folder, once for each set of its inputs."""

import hashlib
import logging
import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jax
import jaxlib

from cnnlab.files import cache_dir, locked, processor

SOURCES = Path(__file__).parent / "src"
FLAGS = ("-O2", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fopenmp")
PACKAGES = ("onednn-cpu-gomp", "onednn-devel-cpu-gomp")

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

    Raises:
        BuildError: a package is missing.
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

    Raises:
        BuildError: there is none, or it can't be run.
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


def build() -> Path:
    """The compiled library, made if this version of it was not made before.

    Another process that builds the same is waited for. Compiled under another name and renamed:
    what is there under its own name is whole.

    Raises:
        BuildError: it can't be made, and why.
    """
    onednn, (compiler, compiler_version) = find_onednn(), find_compiler()
    try:
        folder = cache_dir() / "native"
        target = folder / f"cnnlab-{_key(onednn, compiler_version)}.so"
        if target.exists():
            return target
        with locked(target.with_suffix(".lock")):
            if not target.exists():
                _log.warning("building the native engine into %s (once)", folder)
                _compile(compiler, onednn, target)
        return target
    except OSError as error:
        raise BuildError(f"{error.filename or 'cache'}: {error.strerror or error}") from None


def _key(onednn: OneDNN, compiler_version: str) -> str:
    sources = [part for file in sorted(SOURCES.iterdir()) for part in (file.name, file.read_text())]
    parts = [*sources, *FLAGS, compiler_version, jaxlib.__version__, onednn.version, processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, onednn: OneDNN, target: Path) -> None:
    part = target.with_suffix(f".{os.getpid()}.part")
    includes = [f"-I{onednn.include}", f"-isystem{jax.ffi.include_dir()}"]
    sources = sorted(str(file) for file in SOURCES.glob("*.cc"))
    command = [compiler, *FLAGS, *includes, *sources, str(onednn.library), "-o", str(part)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            reason = lines[0] if lines else f"exit status {done.returncode}"
            raise BuildError(f"{compiler} failed: {reason}")
        part.replace(target)
    except subprocess.TimeoutExpired:
        raise BuildError(f"{compiler} took more than 10 minutes") from None
    finally:
        part.unlink(missing_ok=True)
