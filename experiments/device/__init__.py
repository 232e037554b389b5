"""The parts of `experiments.device_check`: each `part(job) -> lines` of its section of the page.

They need jax, equinox, optax and numpy; what else is missing is said in the section.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass
class Job:
    """What a part works with.

    - `until`: the moment (`time.monotonic`) at which it is to be done.
    - `data`: a folder with Fashion-MNIST's IDX files, or None.
    - `small`: sizes for a test on a CPU.
    - `page`: the page that this is a section of.
    """

    until: float
    data: str | None = None
    small: bool = False
    page: Path = Path("device.md")

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


def kind() -> str:
    """The device, in words."""
    return jax.devices()[0].device_kind


def table(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def one_line(error: BaseException) -> str:
    """An error as part of a page."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200].replace("|", "/")


def timed(run: Callable[[], Any], job: Job, calls: int = 20) -> float:
    """Milliseconds of the fastest of some calls, the first not counted."""
    jax.block_until_ready(run())
    times: list[float] = []
    while len(times) < calls and (job.left() > 0 or not times):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def cells(run: Callable[[Job], Any], job: Job, count: int = 1) -> list[str]:
    """What one case gives; a failure, or no time, is said in its place."""
    if job.left() <= 0:
        return ["no time left"] + [""] * (count - 1)
    try:
        found = run(job)
    except Exception as error:
        found = one_line(error)
    found = [found] if isinstance(found, str) else list(found)
    return found + [""] * (count - len(found))
