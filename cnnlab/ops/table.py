"""Measured times of the algorithms: the table that the package ships, and the user's own."""

import errno
import functools
import json
import logging
import math
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import jax

from cnnlab.files import cache_dir, replace_file, try_writing
from cnnlab.ops.algorithms import PASSES, Pass
from cnnlab.ops.native import ENGINE
from cnnlab.ops.problem import Problem

_log = logging.getLogger("cnnlab")

# problem's key -> pass -> algorithm -> milliseconds
Table: TypeAlias = dict[str, dict[str, dict[str, float]]]


def key(problem: Problem) -> str:
    """A problem as one line: `64x32x32x64 k3x3x64x128 s2x2 p0:1x0:1 d1x1 g1 float32`."""
    by = lambda numbers: "x".join(map(str, numbers))
    padding = by(f"{low}:{high}" for low, high in problem.padding)
    return (
        f"{by(problem.x_shape)} k{by(problem.kernel_shape)} s{by(problem.stride)} p{padding} "
        f"d{by(problem.dilation)} g{problem.groups} {problem.dtype}"
    )


def measured(problem: Problem, which: Pass, platform: str) -> Mapping[str, float]:
    """Milliseconds by algorithm, from the user's table or else the package's; empty if neither."""
    line = key(problem)
    for known in (_own(platform), shipped(machine(platform))):
        if line in known:
            return known[line].get(which, {})
    return {}


def _own(platform: str) -> Table:
    try:
        return _read(user_file(platform))
    except (RuntimeError, OSError):  # a platform that this machine has not; no home folder
        return {}


def machine(platform: str) -> str:
    """The kind of machine whose table serves a platform here: of the CPU `cpu-avx2` or
    `cpu-avx512`, for compiled code for wider vectors ranks otherwise; of others the card's."""
    if platform != "cpu":
        try:
            return device(platform)
        except RuntimeError:  # written down for one that this machine has not
            return platform
    return "cpu-avx512" if ENGINE.refusal() is None and ENGINE.wide() else "cpu-avx2"


@functools.cache
def shipped(machine: str) -> Table:
    """What was measured for the package on a kind of machine."""
    file = resources.files("cnnlab.ops") / "tables" / f"{machine}.json"
    return json.loads(file.read_text())["entries"] if file.is_file() else {}


def user_file(platform: str) -> Path:
    """Where this machine's own measurements are kept: one file a device kind and jax version."""
    return cache_dir() / "conv" / f"{device(platform)}-jax-{jax.__version__}.json"


def device(platform: str) -> str:
    """A platform's first device, as a file's name says it: `gpu-nvidia-h100-80gb-hbm3`.

    Programs are for `cuda` or `rocm` where JAX's default backend is called `gpu`: one file.
    """
    found = jax.devices(platform)[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{found.platform} {found.device_kind}".lower()).strip("-")


def remember(entries: Table, platform: str, file: str | Path | None = None) -> Path:
    """Add measurements to the user's file, or another one; later ones replace earlier ones.

    Written atomically: a reader sees the old table or the new one.

    **Raises:** `OSError`: as `writable`, and where the disk is full.
    """
    file = writable(platform, file)
    known = {**_read(file), **entries}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(known[k])}" for k in sorted(known))
    text = f'{{"entries": {{\n{lines}\n}}}}\n'
    replace_file(file, lambda handle: handle.write(text.encode()))
    _parse.cache_clear()
    return file


def writable(platform: str, file: str | Path | None = None) -> Path:
    """The file that `remember` writes, asked before anything is measured.

    **Raises:** `OSError`: it can't be written, or it is not the user's own and no table.
    """
    given, file = file, user_file(platform) if file is None else Path(file)
    if given is not None and file.exists():
        try:
            _load(file)
        except _NO_TABLE:
            raise FileExistsError(
                errno.EEXIST, "not a table of measurements, it stays", str(file)
            ) from None
    try:
        try_writing(file)
    except OSError as error:
        reason = f"can't be written to: {error.strerror}"
        raise PermissionError(error.errno, reason, error.filename) from None
    return file


def _read(file: Path) -> Table:
    try:
        stamp = file.stat().st_mtime_ns
    except OSError:
        return {}
    return _parse(file, stamp)


@functools.cache
def _parse(file: Path, stamp: int) -> Table:
    del stamp  # a changed file is read anew
    try:
        return _load(file)
    except _NO_TABLE as error:
        _log.warning("%s: ignored, not a table of measurements (%r)", file, error)
        return {}


_NO_TABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def _load(file: Path) -> Table:
    entries = json.loads(file.read_text())["entries"]
    for line, passes in entries.items():
        for which, times in passes.items():
            if which not in PASSES or not all(0 < t < math.inf for t in times.values()):
                raise ValueError(f"{line}: {which}: {times}")
    return entries
