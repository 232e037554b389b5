"""What a run is asked for beside its network, examples and optimizer: checked once, here."""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from cnnlab.arguments import checked, fraction, positive_int


@checked
@dataclasses.dataclass(frozen=True)
class TracedSteps:
    """The steps whose trace is kept: `steps` of them from number `start` on, 2 or more, as the
    first one compiles."""

    start: int
    steps: int

    def __post_init__(self) -> None:
        if self.start < 2:
            raise ValueError(f"profile.start: expected an int >= 2, got {self.start}")
        positive_int("profile.steps", self.steps)

    @property
    def last(self) -> int:
        """The number of the last one."""
        return self.start + self.steps - 1


@checked
@dataclasses.dataclass(frozen=True)
class Settings:
    """The config's settings of these names; lengths are in steps, None for never (but at the end).

    - `steps`: of the run, one a batch.
    - `accumulate`: batches whose mean gradient makes one update.
    - `patience`: evaluations without a better score before the run stops.
    - `select`: the weights that are tested, those of the last step or of the best evaluation.
    - `average`: decay of a moving average of the weights, which is what is evaluated then.
    - `precision`: of the computation; parameters are float32.
    - `tta`: views of an image that the test takes the mean of (`augment.views`).
    - `force`: whether a complete run is run again.

    **Raises:** `ValueError` that begins with the setting's name.
    """

    steps: int
    name: str = "train"
    seed: int = 0
    batch_size: int = 128
    eval_batch_size: int = 500
    accumulate: int = 1
    log_every: int | None = 50
    evaluate_every: int | None = None
    checkpoint_every: int | None = None
    patience: int | None = None
    select: Literal["last", "best"] = "last"
    average: float | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    tta: Literal["none", "flip", "shift"] = "none"
    profile: TracedSteps | None = None
    force: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.average is not None:
            fraction("average", self.average)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: expected evaluations >= 1 or null, got {self.patience}")
        if self.accumulate > self.steps:
            raise ValueError(
                f"accumulate: expected at most the run's {self.steps} batches (steps counts "
                f"batches, not updates), got {self.accumulate}"
            )
        if self.profile is not None and self.profile.start > self.steps:
            raise ValueError(
                f"profile.start: expected one of the run's {self.steps} steps, "
                f"got {self.profile.start}"
            )
        if self.judged_by and self.evaluate_every is None:
            raise ValueError(
                f"{self.judged_by}: expected evaluations to judge by, evaluate_every has none "
                f"before the end; evaluate_every.epochs=1"
            )

    def that_count(self) -> tuple[tuple[str, object], ...]:
        """Those that a result depends on, with their names."""
        free = ("name", "force", "progress", "eval_batch_size", "profile")
        return tuple((n, v) for n, v in vars(self).items() if n not in free)

    @property
    def judged_by(self) -> str | None:
        """The setting that needs evaluations to judge by, if there is one."""
        if self.patience is not None:
            return "patience"
        return "select" if self.select == "best" else None

    @property
    def compute_dtype(self) -> jnp.dtype:
        """Of activations."""
        return jnp.dtype(self.precision)
