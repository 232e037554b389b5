"""Compiled programs kept between runs: the second run of a config begins its steps at once."""

import hashlib
import os
from pathlib import Path

import jax

from cnnlab.files import cache_dir, processor

# The least recently used go first.
_MAX_BYTES = 2**30


def keep_programs() -> None:
    """Let JAX keep programs that took a second or more to compile in the user's cache.

    In a folder for processors of this kind, as compiled code is for one. Nothing is changed where
    `JAX_COMPILATION_CACHE_DIR` says where to keep them, or where the folder can't be written.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    kind = hashlib.sha256(processor().encode()).hexdigest()[:8]
    folder = cache_dir() / "programs" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_parts(folder)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    if jax.config.jax_compilation_cache_max_size == -1:
        jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _remove_parts(folder: Path) -> None:
    """What a process left that was killed while it wrote: JAX writes a program, then its time."""
    for file in folder.glob("*-cache"):
        if not file.with_name(f"{file.name.removesuffix('-cache')}-atime").exists():
            file.unlink(missing_ok=True)
