"""Checkpoints: one safetensors file that describes itself and that nothing can half-write.

A file holds every array of a `TrainState` by name, and in its header the resolved config, what a
prediction needs to know of the data set, the position of the training loop, library versions, and a
CRC-32 of each array. It is written beside its place, flushed, and renamed; a file that is truncated
or altered is refused by name. Loading reads numbers and JSON: nothing in a file is ever executed.
"""

import hashlib
import json
import os
import platform
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import safetensors
from safetensors.numpy import save

from cnnlab.errors import CnnlabError
from cnnlab.models import named_arrays, with_arrays
from cnnlab.train.state import TrainState

FORMAT = "cnnlab-checkpoint-1"


class CheckpointError(CnnlabError):
    """A checkpoint can't be read or does not fit; the message names the file."""


def versions() -> dict[str, str]:
    """The libraries that numbers depend on."""
    names = ("cnnlab", "jax", "jaxlib", "equinox", "optax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # cnnlab imported from a checkout, not installed
            continue
    return found


def state_arrays(state: TrainState) -> dict[str, np.ndarray]:
    """Every array of a state by a name that says where it belongs.

    `model.<layer path>`, `average.<layer path>`, `optimizer.<path>`, `step`, `key`.
    """
    arrays = {f"model.{k}": v for k, v in named_arrays(state.model, state.model_state).items()}
    if state.average is not None:
        model, model_state = state.averaged()
        arrays |= {f"average.{k}": v for k, v in named_arrays(model, model_state).items()}
    for path, leaf in _optimizer_leaves(state):
        arrays[path] = leaf
    arrays |= {"step": state.step, "key": jr.key_data(state.key)}
    return {name: np.asarray(value) for name, value in jax.device_get(arrays).items()}


def _optimizer_leaves(state: TrainState) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state.opt_state)
    return [
        (f"optimizer.{jax.tree_util.keystr(path, simple=True, separator='.')}", leaf)
        for path, leaf in leaves
    ]


def with_state_arrays(state: TrainState, arrays: dict[str, np.ndarray]) -> TrainState:
    """The state with its arrays replaced by those of the same names.

    **Raises:** `CheckpointError` when a name is missing, or a shape or dtype differs.
    """
    expected = state_arrays(state)
    problems = [f"{name} is missing" for name in expected.keys() - arrays.keys()]
    problems += [
        f"{name} is {arrays[name].dtype}{list(arrays[name].shape)}, "
        f"expected {value.dtype}{list(value.shape)}"
        for name, value in expected.items()
        if name in arrays and (arrays[name].shape, arrays[name].dtype) != (value.shape, value.dtype)
    ]
    if problems:
        raise CheckpointError(f"does not fit this config: {sorted(problems)[0]}")

    def part(prefix: str) -> dict[str, Any]:
        return {
            k.removeprefix(prefix): jnp.asarray(v)
            for k, v in arrays.items()
            if k.startswith(prefix)
        }

    model, model_state = with_arrays(state.model, state.model_state, part("model."))
    average = None
    if state.average is not None:
        averaged = with_arrays(*state.averaged(), part("average."))
        average = (eqx.filter(averaged[0], eqx.is_inexact_array), averaged[1])
    leaves = [jnp.asarray(arrays[name]) for name, _ in _optimizer_leaves(state)]
    opt_state = jax.tree.unflatten(jax.tree.structure(state.opt_state), leaves)
    return TrainState(
        model=model,
        model_state=model_state,
        opt_state=opt_state,
        average=average,
        step=jnp.asarray(arrays["step"]),
        key=jr.wrap_key_data(jnp.asarray(arrays["key"])),
    )


def write(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Write arrays and what they mean to `path`, atomically.

    **Arguments:**

    - `header`: `config` (resolved), `data` (what a prediction needs to know of the data set) and
        `loop` (where the training loop stands), as JSON values.

    **Raises:** `CheckpointError` when the file can't be written (a full disk); what stood at
    `path` before is untouched.
    """
    arrays = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    sums = {name: zlib.crc32(value.tobytes()) for name, value in arrays.items()}
    values = {**header, "versions": versions(), "crc32": sums}
    text = {name: json.dumps(value) for name, value in values.items()}
    write_atomically(path, save(arrays, {"format": FORMAT, **text, "header_crc32": _sum(text)}))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or what was there before.

    **Raises:** `CheckpointError`, when the disk is full or can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CheckpointError(f"{path}: could not be written: {error.strerror}") from error
        raise


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a checkpoint and its header: `config`, `data`, `loop`, `versions`.

    **Raises:** `CheckpointError` naming the file when it is missing, truncated or altered.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(f"{path}: not a cnnlab checkpoint")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error})") from error
    text = {k: v for k, v in header.items() if k not in ("format", "header_crc32")}
    if _sum(text) != header.get("header_crc32"):
        raise CheckpointError(f"{path}: damaged checkpoint (its header was altered)")
    parsed = {key: json.loads(value) for key, value in text.items()}
    for name, value in arrays.items():
        if zlib.crc32(value.tobytes()) != parsed["crc32"].get(name):
            raise CheckpointError(f"{path}: damaged checkpoint (the content of {name} was altered)")
    return arrays, parsed


def _sum(text: dict[str, str]) -> str:
    return str(zlib.crc32(json.dumps(text, sort_keys=True).encode()))


def evaluated_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's model (the average where there is one), by the model's own names."""
    prefix = "average." if any(name.startswith("average.") for name in arrays) else "model."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def arrays_digest(arrays: dict[str, np.ndarray]) -> str:
    """16 hex digits that stand for arrays, their names and their shapes."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(arrays.items()):
        digest.update(f"{name}{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()


def checkpoint_path(run: Path, which: str) -> Path:
    """The file of a run directory's checkpoint: `last`, `best`, or a path of its own."""
    checkpoints = Checkpoints(run / "checkpoints", {}, {})
    if which == "last":
        return next(iter(checkpoints.by_step()), checkpoints.folder / "step-*.safetensors")
    return checkpoints.best if which == "best" else Path(which)


class Checkpoints:
    """The checkpoints of one run: the last two by step, and the best.

    **Arguments:**

    - `folder`: where they are.
    - `config`, `data`: the resolved config and the data set's description, written into each.
    """

    def __init__(self, folder: Path, config: dict[str, Any], data: dict[str, Any]) -> None:
        self.folder = folder
        self._about = {"config": config, "data": data}

    @property
    def best(self) -> Path:
        """Where the best checkpoint is kept."""
        return self.folder / "best.safetensors"

    def by_step(self) -> list[Path]:
        """The step checkpoints, newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, state: TrainState, loop: dict[str, Any]) -> Path:
        """Write the state as the newest checkpoint; keep the one before, remove older ones."""
        path = self.folder / f"step-{int(state.step):09d}.safetensors"
        write(path, state_arrays(state), {**self._about, "loop": loop})
        for old in self.by_step()[2:]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, state: TrainState, loop: dict[str, Any]) -> None:
        """Write the state as the best checkpoint."""
        write(self.best, state_arrays(state), {**self._about, "loop": loop})

    def restore(self, state: TrainState) -> tuple[TrainState, dict[str, Any], list[str]] | None:
        """The newest checkpoint that can be read, the loop's position, and what was refused.

        `None` when there is no checkpoint.

        **Raises:** `CheckpointError` when there are checkpoints and none can be read.
        """
        refused: list[str] = []
        for path in self.by_step():
            try:
                arrays, header = read(path)
                return with_state_arrays(state, arrays), header["loop"], refused
            except CheckpointError as error:
                text = str(error)
                refused.append(text if str(path) in text else f"{path}: {text}")
        if refused:
            raise CheckpointError("; ".join(refused))
        return None
