"""The native engine as Python sees it: loaded at its first use, or a reason why not."""

import ctypes
import enum
import functools
import hashlib
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import jax

from cnnlab.ops.native.build import BuildError, build, find_onednn
from cnnlab.ops.problem import PASSES, Pass, Problem

VARIABLE = "CNNLAB_NATIVE"
# FFI target -> symbol of the library.
TARGETS = (
    "cnnlab_conv",
    "cnnlab_conv_bias",
    "cnnlab_conv_channels_first",
    "cnnlab_fft_conv",
    "cnnlab_max_pool",
    "cnnlab_max_pool_gradient",
    "cnnlab_sums",
)

_SPINS = "20000"  # 0.2 ms or less; where there are more threads than cores libgomp takes 1,000

_log = logging.getLogger("cnnlab")


class Code(enum.IntEnum):
    """What an implementation's code is made for; each serves better than those before it.

    As `CodeOf` in src/convolution.cc, which knows the implementations' names.
    """

    NONE = 0  # there is none worth taking
    GENERAL = 1
    COMPILED = 2  # the shape
    DEPTHWISE = 3  # the shape of a depthwise convolution
    OWN_DEPTHWISE = 4  # one with many or dilated taps: loops of our own (src/depthwise.cc)


class Implementation(NamedTuple):
    """What would compute a pass: its name, such as oneDNN's `jit:avx2`, and its code."""

    name: str
    code: Code


class Engine:
    """The library, its state and what it can do. One a process; safe from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._reason: str | None = None

    def refusal(self) -> str | None:
        """Why the engine is not in use, or None where it is; the first call builds and loads it."""
        if self._library is None and self._reason is None:
            with self._lock:
                if self._library is None and self._reason is None:
                    self._load()
        return self._reason

    def _load(self) -> None:
        self._reason = _not_here()
        if self._reason is not None:
            return
        try:
            library = _open(build())
        except (BuildError, OSError) as error:
            self._reason = str(error)
            _log.warning("no native engine, everything runs as JAX: %s", error)
            return
        try:
            for target in TARGETS:
                capsule = jax.ffi.pycapsule(getattr(library, target))
                jax.ffi.register_ffi_target(target, capsule, platform="cpu")
        except jax.errors.JaxRuntimeError:
            self._reason = "this process has loaded another build of it; a new process will take it"
            _log.warning("no native engine, everything runs as JAX: %s", self._reason)
            return
        self._library = library

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """As if there were no engine, for what is lowered inside: to compare with it."""
        before = self.refusal()
        self._reason = before or "turned off for a comparison"
        try:
            yield
        finally:
            self._reason = before

    @property
    def library(self) -> ctypes.CDLL:
        """The loaded library.

        **Raises:** `RuntimeError`: the engine is not in use, and why.
        """
        if (reason := self.refusal()) is not None:
            raise RuntimeError(f"native engine: {reason}")
        assert self._library is not None
        return self._library

    def isa(self) -> str:
        """The instruction set that oneDNN uses, such as `avx2`."""
        return self.library.cnnlab_isa().decode()

    def wide(self) -> bool:
        """Whether it uses vectors of 16 floats (AVX-512), and not of 8."""
        return self.isa().startswith("avx512")

    def threads(self) -> int:
        """The most threads a call uses: `OMP_NUM_THREADS`, or the cores."""
        return self.library.cnnlab_threads()

    @functools.cache  # noqa: B019 - there is one engine
    def implementation(self, problem: Problem, which: Pass) -> Implementation:
        """What would compute a pass."""
        if problem.dtype.name not in ("float32", "bfloat16"):
            return Implementation("", Code.NONE)
        numbers = [*problem.x_shape, *problem.kernel_shape, *problem.y_shape]
        numbers += [*problem.stride, *problem.dilation]
        numbers += [low for low, _ in problem.padding] + [high for _, high in problem.padding]
        numbers.append(problem.groups)
        name = ctypes.create_string_buffer(128)
        code = self.library.cnnlab_implementation(
            PASSES.index(which),
            problem.dtype.name == "bfloat16",
            problem.rank,
            (ctypes.c_int64 * len(numbers))(*numbers),
            name,
            len(name),
        )
        return Implementation(name.value.decode(), Code(code))


def _not_here() -> str | None:
    if os.environ.get(VARIABLE, "1") == "0":
        return f"turned off by {VARIABLE}=0"
    if (backend := jax.default_backend()) != "cpu":
        return f"made for the CPU, the default backend is {backend}"
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"made for Linux on x86-64, this is {platform.system()} on {platform.machine()}"
    return None


def _open(content: bytes) -> ctypes.CDLL:
    """Load a compiled library beside the oneDNN that it was compiled for.

    From memory: what runs is what was verified, whatever becomes of the file.

    **Raises:** `OSError`: it can't be loaded.
    """
    # By its own path first: the library then finds it loaded, wherever the environment lies.
    with _brief_waits():
        ctypes.CDLL(str(find_onednn().library))
    # Left open: its number is the library's name, which the loader knows it by from then on. A
    # module that is loaded again finds it by the content.
    name = f"cnnlab-{hashlib.sha256(content).hexdigest()}"
    file = _open_file(name)
    if file is None:
        file = Path(f"/proc/self/fd/{os.memfd_create(name)}")
        file.write_bytes(content)
    library = ctypes.CDLL(str(file))
    integers = ctypes.POINTER(ctypes.c_int64)
    library.cnnlab_isa.restype = ctypes.c_char_p
    library.cnnlab_threads.restype = ctypes.c_int64
    library.cnnlab_implementation.restype = ctypes.c_int64
    library.cnnlab_implementation.argtypes = [
        *(ctypes.c_int64,) * 3, integers, ctypes.c_char_p, ctypes.c_int64
    ]  # fmt: skip
    return library


@contextmanager
def _brief_waits() -> Iterator[None]:
    """OpenMP, if it is loaded here, looks out for the next call for a while before its threads
    sleep, unless the environment says how it waits.

    Left alone it does so for 3 ms, but hardly at all where calls come from more threads than there
    are cores, as XLA's do: then each call would wait until its threads wake.
    """
    waits = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": _SPINS}
    if waits.keys() & os.environ.keys():
        yield
        return
    os.environ.update(waits)
    try:
        yield
    finally:
        for name in waits:
            del os.environ[name]


def _open_file(name: str) -> Path | None:
    """A file in memory that this process has open."""
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(file).startswith(f"/memfd:{name} "):
                return file
    return None


ENGINE = Engine()
