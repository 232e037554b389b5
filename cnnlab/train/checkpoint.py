"""Checkpoints: one safetensors file that describes itself and that nothing can half-write.

A file holds every array of a `TrainState` by name, and in its header the resolved config, what a
prediction needs to know of the data set, the position of the training loop, library versions, and a
CRC-32 of each array. It is written beside its place, flushed, and renamed; a file that is truncated
or altered is refused by name. Loading reads numbers and JSON: nothing in a file is ever executed.
"""

import json
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cnnlab.files import JsonObject, write_atomically
from cnnlab.train.arrays import Arrays, CheckpointError, state_arrays, with_state_arrays
from cnnlab.train.state import TrainState
from cnnlab.versions import versions

FORMAT = "cnnlab-checkpoint-1"

# What a checkpoint and the config that it is used with have in common, beside the arrays' shapes.
_ONE_NETWORK = ("seed", "backbone", "conv", "norm", "head", "precision")


def write(path: Path, arrays: Arrays, header: JsonObject) -> None:
    """Write arrays and what they mean to `path`, atomically.

    **Arguments:**

    - `header`: `config` (resolved), `data` (what a prediction needs to know of the data set) and
        `loop` (where the training loop stands), as JSON values.

    **Raises:** `WriteError` when the file can't be written (a full disk); what stood at
    `path` before is untouched.
    """
    from safetensors.numpy import save  # here, as training itself does without it

    arrays = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    sums = {name: zlib.crc32(value.tobytes()) for name, value in arrays.items()}
    values = {**header, "versions": versions(), "crc32": sums}
    text = {name: json.dumps(value) for name, value in values.items()}
    write_atomically(path, save(arrays, {"format": FORMAT, **text, "header_crc32": _sum(text)}))


def read(path: Path) -> tuple[Arrays, JsonObject]:
    """The arrays of a checkpoint and its header: `config`, `data`, `loop`, `versions`.

    **Raises:** `CheckpointError` naming the file when it is missing, truncated or altered.
    """
    import safetensors

    if not path.is_file():  # a pipe or a device would be read without end
        what = "not a file" if path.exists() else "no such checkpoint"
        raise CheckpointError(f"{path}: {what}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(f"{path}: not a cnnlab checkpoint")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    # TypeError and AttributeError: of dtypes that NumPy does not have.
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error})") from error
    return arrays, _parsed(path, arrays, header)


def _parsed(path: Path, arrays: Arrays, header: dict[str, str]) -> JsonObject:
    """The header's JSON, when it and the arrays are what was written."""

    def damaged(what: str) -> CheckpointError:
        return CheckpointError(f"{path}: damaged checkpoint ({what})")

    text = {k: v for k, v in header.items() if k not in ("format", "header_crc32")}
    if _sum(text) != header.get("header_crc32"):
        raise damaged("its header was altered")
    try:
        parsed = {key: json.loads(value) for key, value in text.items()}
    except (ValueError, RecursionError) as error:
        raise damaged("its header is not JSON") from error
    for key in ("config", "data", "loop", "versions", "crc32"):
        if not isinstance(parsed.get(key), dict):
            raise damaged(f"its header has no {key}")
    if not all(isinstance(version, str) for version in parsed["versions"].values()):
        raise damaged("its header's versions are no texts")
    if arrays.keys() != parsed["crc32"].keys():
        raise damaged("arrays are missing or added")
    step = arrays.get("step")
    if step is None or step.shape or not np.issubdtype(step.dtype, np.integer):
        raise damaged("it does not say its step")
    for name, value in arrays.items():
        if zlib.crc32(value.tobytes()) != parsed["crc32"][name]:
            raise damaged(f"the content of {name} was altered")
    return parsed


def _sum(text: dict[str, str]) -> str:
    return str(zlib.crc32(json.dumps(text, sort_keys=True).encode()))


@contextmanager
def of_file(path: Path) -> Iterator[None]:
    """A `CheckpointError` from within names the file."""
    try:
        yield
    except CheckpointError as error:
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise CheckpointError(named) from error


def check_run(header: JsonObject, config: JsonObject) -> None:
    """Raises `CheckpointError` where a checkpoint's network or seed is not that of a config."""
    written = header["config"]
    for key in _ONE_NETWORK:
        if key in config and written.get(key) != config[key]:
            raise CheckpointError(
                f"of another run: {key} is {json.dumps(written.get(key))} in it, "
                f"{json.dumps(config[key])} in the config"
            )


def say_older(checkpoint: Path, what: str) -> None:
    """Warn that a checkpoint lacks something that would have been compared."""
    print(
        f"warning: {checkpoint}: written by an older version, which does not say {what}: these "
        "could not be compared",
        file=sys.stderr,
    )


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
    - `run`: what names the run: its checkpoints are those that hold this name.
    - `before`: called before each is written; what it raises refuses that.
    - `writes`: whether it is this process that keeps them, and not another of the same run.
    """

    def __init__(
        self,
        folder: Path,
        config: JsonObject,
        data: JsonObject,
        run: str = "",
        before: Callable[[], object] = lambda: None,
        *,
        writes: bool = True,
    ) -> None:
        self.folder, self._before, self._writes = folder, before, writes
        self._about = {"config": config, "data": data, "run": {"name": run}}

    @property
    def best(self) -> Path:
        """Where the best checkpoint is kept."""
        return self.folder / "best.safetensors"

    def by_step(self) -> list[Path]:
        """The step checkpoints, newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, state: TrainState, loop: JsonObject) -> Path:
        """Write the state as the newest checkpoint; keep the one before, remove older ones."""
        path = self.folder / f"step-{int(state.step):09d}.safetensors"
        if not self._writes:
            return path
        self._before()
        write(path, state_arrays(state), {**self._about, "loop": loop})
        for old in self.by_step()[2:]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, state: TrainState, loop: JsonObject) -> None:
        """Write the state as the best checkpoint."""
        if self._writes:
            self._before()
            write(self.best, state_arrays(state), {**self._about, "loop": loop})

    def restore(self, state: TrainState) -> tuple[TrainState, Path, JsonObject, list[str]] | None:
        """The newest checkpoint that can be read, its file, its header, and what was refused.

        `None` when there is no checkpoint.

        **Raises:** `CheckpointError` when there are checkpoints and none can be read.
        """
        refused: list[str] = []
        for path in self.by_step():
            try:
                with of_file(path):
                    arrays, header = read(path)
                    self._check(header)
                    return with_state_arrays(state, arrays), path, header, refused
            except CheckpointError as error:
                refused.append(str(error))
        if refused:
            raise CheckpointError(f"{'; '.join(refused)}; force=true begins anew")
        return None

    def _check(self, header: JsonObject) -> None:
        own = self._about["run"]
        if header.get("run", own) != own:  # older checkpoints do not say
            raise CheckpointError(f"of another run: {json.dumps(header['run'])}")
        check_run(header, self._about["config"])
