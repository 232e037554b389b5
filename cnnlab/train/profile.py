"""A trace of a few steps, for Perfetto or TensorBoard's profiler."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax


class Profile:
    """Called after every step; traces `steps` steps from step number `start`.

    **Arguments:**

    - `folder`: where the trace goes.
    - `config`: `{"start": ..., "steps": ...}`, or `None` for no trace. `start` is 2 or
        more: the first step compiles.
    """

    def __init__(self, folder: Path, config: Mapping[str, int] | None) -> None:
        self._folder = folder
        self._first, self._last, self._tracing = 0, -1, False
        if config is not None:
            for name in ("start", "steps"):
                value = config.get(name)
                least = 2 if name == "start" else 1
                if not isinstance(value, int) or value < least:
                    raise ValueError(
                        f"profile.{name}: expected an integer >= {least}, got {value!r}"
                    )
            self._first, self._last = config["start"], config["start"] + config["steps"] - 1

    def __call__(self, step: int, outputs: Any) -> None:
        """After step number `step`, whose results are `outputs`: steps run on after their call."""
        if step in (self._first - 1, self._last):
            jax.block_until_ready(outputs)
        if step == self._first - 1:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._tracing = True
        elif step == self._last:
            self.close()

    def close(self) -> None:
        """Write the trace, if one is under way."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing = False
