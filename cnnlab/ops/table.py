"""Measured times of the algorithms: the table that the package ships, and the user's own."""

import functools
import json
import math
import re
import warnings
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import jax

from cnnlab.files import cache_dir, replace_file
from cnnlab.ops.algorithms import PASSES, Pass
from cnnlab.ops.native import ENGINE
from cnnlab.ops.problem import Problem

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
    except RuntimeError:  # lowering for a platform that this machine does not have
        return {}


def machine(platform: str) -> str:
    """The kind of machine whose table serves a platform here: of the CPU `cpu-avx2` or
    `cpu-avx512`, for compiled code for wider vectors ranks otherwise."""
    if platform != "cpu":
        return platform
    return "cpu-avx512" if ENGINE.refusal() is None and ENGINE.wide() else "cpu-avx2"


@functools.cache
def shipped(machine: str) -> Table:
    """What was measured for the package on a kind of machine."""
    file = resources.files("cnnlab.ops") / "tables" / f"{machine}.json"
    return json.loads(file.read_text())["entries"] if file.is_file() else {}


def user_file(platform: str) -> Path:
    """Where this machine's own measurements are kept: one file a device kind and jax version."""
    kind = jax.devices(platform)[0].device_kind
    name = re.sub(r"[^a-z0-9]+", "-", f"{platform} {kind}".lower()).strip("-")
    return cache_dir() / "conv" / f"{name}-jax-{jax.__version__}.json"


def remember(entries: Table, platform: str, file: str | Path | None = None) -> Path:
    """Add measurements to the user's file, or another one; later ones replace earlier ones.

    Written atomically: a reader sees the old table or the new one.

    Raises:
        OSError: the file cannot be written.
    """
    file = user_file(platform) if file is None else Path(file)
    known = {**_read(file), **entries}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(known[k])}" for k in sorted(known))
    text = f'{{"entries": {{\n{lines}\n}}}}\n'
    replace_file(file, lambda handle: handle.write(text.encode()))
    _parse.cache_clear()
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
        entries = json.loads(file.read_text())["entries"]
        _check(entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"{file}: ignored, not a table of measurements ({error!r})", stacklevel=2)
        return {}
    return entries


def _check(entries: Table) -> None:
    for line, passes in entries.items():
        for which, times in passes.items():
            if which not in PASSES or not all(0 < t < math.inf for t in times.values()):
                raise ValueError(f"{line}: {which}: {times}")
