"""Where the loop stands, and where it goes on: what a checkpoint holds beside arrays."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from typing import Any

from cnnlab.files import JsonObject
from cnnlab.train.arrays import (
    CheckpointError,
    packed,
    state_arrays,
    unpacked,
    with_state_arrays,
)
from cnnlab.train.checkpoint import Checkpoints, of_file, say_older
from cnnlab.train.processes import Processes
from cnnlab.train.state import TrainState


@dataclasses.dataclass
class Position:
    """Where the loop stands, as JSON: it goes into every checkpoint.

    - `best`: the best validation score so far, at step `best_step`; of no meaning at step 0.
    - `waited`: evaluations since then.
    - `window`: the metrics of the steps since the last log line.
    - `seconds`: of training so far, in all processes that had a part in the run.
    - `records`: how many were logged; -1 in checkpoints of older versions, which do not say.
    """

    best: float = -1.0
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    window: list[dict[str, float]] = dataclasses.field(default_factory=list)
    records: int = 0

    @classmethod
    def of(cls, saved: JsonObject) -> "Position":
        """From what a checkpoint holds. **Raises:** `CheckpointError` when it is something else."""
        for name, value in saved.items():
            if name not in _KINDS or not _KINDS[name](value):
                raise CheckpointError(f"damaged checkpoint (its loop has {name}={value!r:.80})")
        known: JsonObject = {"records": -1, **saved}
        return cls(**known)


def newest(checkpoints: Checkpoints, start: TrainState, steps: int) -> tuple[TrainState, Position]:
    """The state and the position in a run's newest checkpoint, or `start` where there is none.

    **Arguments:** `steps`, of the whole run.

    **Raises:** `CheckpointError` when there are checkpoints and none can be read.
    """
    restored = checkpoints.restore(start)
    if restored is None:
        return start, Position()
    state, path, header, refused = restored
    with of_file(path):
        position = Position.of(header["loop"])
    if "run" not in header:
        say_older(path, "anything of its run but seed and network")
    for message in refused:
        print(f"warning: {message}; using the one before", file=sys.stderr)
    print(f"resuming at step {int(state.step)} of {steps}", file=sys.stderr)
    return state, position


def newest_of_first(
    processes: Processes, checkpoints: Checkpoints, start: TrainState, steps: int
) -> tuple[TrainState, Position]:
    """`newest`, as process 0 finds it, in all processes of a run.

    **Raises:** `CheckpointError`, as `newest`; in the others a `CnnlabError` that says the same.
    """
    if processes.count == 1:
        return newest(checkpoints, start, steps)
    found: list[tuple[TrainState, Position]] = []

    def position() -> bytes:
        found.append(newest(checkpoints, start, steps))
        return json.dumps(dataclasses.asdict(found[0][1])).encode()

    told = processes.from_first(position)
    arrays = processes.from_first(lambda: packed(state_arrays(found[0][0])))
    if found:
        return found[0]
    return with_state_arrays(start, unpacked(arrays)), Position.of(json.loads(told))


def _number(
    low: int | float, high: int | float = math.inf, *, whole: bool = False
) -> Callable[[Any], bool]:
    kinds = (int,) if whole else (int, float)
    return lambda value: type(value) in kinds and low <= value <= high


def _is_window(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(step, dict) and all(type(x) in (int, float) for x in step.values())
        for step in value
    )


_KINDS: dict[str, Callable[[Any], bool]] = {
    "best": _number(-sys.float_info.max, sys.float_info.max),
    "best_step": _number(0, whole=True),
    "waited": _number(0, whole=True),
    "seconds": _number(0, sys.float_info.max),  # not infinite
    "stopped_early": lambda value: isinstance(value, bool),
    "window": _is_window,
    "records": _number(-1, whole=True),
}
