"""Compiled programs kept between runs: the second run of a config begins its steps at once."""

import hashlib
import logging
import os
import re
from pathlib import Path

import jax

from cnnlab.files import cache_dir, remove, seal, unseal
from cnnlab.jax_internals import LRUCache, compilation_cache
from cnnlab.machine import processor

# The least recently used go first.
_MAX_BYTES = 2**30

_log = logging.getLogger("cnnlab")


def keep_programs() -> None:
    """Let JAX keep programs that took a second or more to compile in the user's cache.

    In a folder for processors of this kind, as compiled code is for one. Nothing is changed where
    `JAX_COMPILATION_CACHE_DIR` says where to keep them, or where the folder can't be written.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    kind = hashlib.sha256(processor().encode()).hexdigest()[:8]
    try:
        folder = cache_dir() / "programs" / kind
        folder.mkdir(parents=True, exist_ok=True)
        _remove_parts(folder)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    if jax.config.values["jax_compilation_cache_max_size"] == -1:
        jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    open_cache = compilation_cache.get_file_cache
    compilation_cache.get_file_cache = lambda path: (
        (Programs(path), path) if path == str(folder) else open_cache(path)
    )


class Programs(LRUCache):
    """JAX's cache, with a checksum behind each program: a damaged one is removed and compiled anew.

    The methods are JAX's, and so are the names of the files.
    """

    def __init__(self, path: str):
        super().__init__(path, max_size=jax.config.values["jax_compilation_cache_max_size"])

    def get(self, key: str) -> bytes | None:
        """The program as JAX compressed it, or None."""
        try:
            stored = super().get(key)
        except TimeoutError:  # another process has the lock
            return None
        except OSError:
            stored = b""
        if stored is None or (value := unseal(stored)) is not None:
            return stored and value
        self._remove(key)
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a program; where that can't be, as on a full disk, it is compiled again."""
        program = compilation_cache.decompress_executable(value)
        try:
            super().put(key, seal(compilation_cache.compress_executable(_for_here(program))))
        except TimeoutError:
            return
        except OSError as error:
            self._remove(key)
            _log.warning("a compiled program is not kept: %s: %s", self.path, error.strerror)

    def _remove(self, key: str) -> None:
        for suffix in _SUFFIXES:
            remove(Path(self.path, key + suffix))


# JAX writes a program, then when it was used.
_SUFFIXES = ("-cache", "-atime")


def _remove_parts(folder: Path) -> None:
    """What is no program with its time: of a process that was killed while it wrote, or damaged."""
    for suffix in _SUFFIXES:
        for file in folder.glob(f"*{suffix}"):
            key = file.name.removesuffix(suffix)
            if not all((folder / (key + other)).is_file() for other in _SUFFIXES):
                remove(file)


# What a program records of the processor that it was compiled for: `+avx2,-avx512f`, and so on.
_FEATURES = re.compile(rb"(?<![\w.,+-])[+-][\w.-]+(?:,[+-][\w.-]+){9,}")
_WIDE_OR_HINT = re.compile(rb"\+([\w.-]*avx512|prefer-no-)")


def _for_here(program: bytes) -> bytes:
    """A compiled program whose record of the processor does not name what only tunes code.

    XLA adds two such hints wherever there is AVX-512, at loading too, and then does not find them
    in the processor: a line of 2 KB each, which speaks of illegal instructions (XLA's issue 44565).
    No code is made by the record any more, and the folder is of one kind of processor.
    """
    return _FEATURES.sub(lambda found: _WIDE_OR_HINT.sub(rb"-\1", found[0]), program)
