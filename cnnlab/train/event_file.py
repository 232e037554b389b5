"""Files of numbers and pictures that TensorBoard reads (package `tensorboardX`)."""

import time
from pathlib import Path
from typing import Any


class EventFile:
    """A file that TensorBoard reads. What is added to it is there when `add` returns, as it is not
    with tensorboardX's own `SummaryWriter`: a kill would take what its thread had not written yet.
    """

    def __init__(self, folder: Path, suffix: str = "", purge_step: int | None = None) -> None:
        from tensorboardX import event_file_writer

        folder.mkdir(parents=True, exist_ok=True)
        self._file = event_file_writer.EventsWriter(str(folder / "events"), suffix)
        if purge_step is not None:
            self._write(purge_step, session_log={"status": 1})  # START: drops that step and later
            self._file.flush()

    def add(self, step: int, *summaries: Any) -> None:
        for summary in summaries:
            self._write(step, summary=summary)
        self._file.flush()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyrefly: ignore[missing-module-attribute]

        self._file.write_event(Event(wall_time=time.time(), step=step, **content))

    def close(self) -> None:
        self._file.close()
