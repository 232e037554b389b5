"""Plans: a backbone written as a list of channel counts and pools (A 4.6)."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

POOL = "M"

# Simonyan and Zisserman 2015 (arXiv:1409.1556), table 1, columns A, B, D and E.
PLANS: dict[str, tuple[int | str, ...]] = {
    "vgg11": (64, "M", 128, "M", *(256,) * 2, "M", *(512,) * 2, "M", *(512,) * 2, "M"),
    "vgg13": (64, 64, "M", 128, 128, "M", *(256,) * 2, "M", *(512,) * 2, "M", *(512,) * 2, "M"),
    "vgg16": (64, 64, "M", 128, 128, "M", *(256,) * 3, "M", *(512,) * 3, "M", *(512,) * 3, "M"),
    "vgg19": (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M"),
}


class StagePlan(NamedTuple):
    """One stage: the channels of its convolutions and whether it ends by halving the map."""

    channels: tuple[int, ...]
    downsample: bool


def parse_plan(plan: str | Sequence[object]) -> tuple[StagePlan, ...]:
    """Splits a plan into stages at every `"M"`.

    **Arguments:** `plan`: channel counts and `"M"` (pool), such as `[32, 32, "M", 64]`, or one of
    the names in `PLANS`.

    **Raises:** `ValueError` for an unknown name, an entry that is neither a positive integer nor
    `"M"`, a pool with no convolution before it, and an empty plan.
    """
    if isinstance(plan, str):
        if plan not in PLANS:
            near = difflib.get_close_matches(plan, PLANS, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"plan: expected a list or one of {', '.join(PLANS)}, got {plan!r}{hint}"
            )
        plan = PLANS[plan]
    stages: list[StagePlan] = []
    channels: list[int] = []
    for i, entry in enumerate(plan):
        if entry == POOL:
            if not channels:
                raise ValueError(f"plan[{i}]: expected a channel count before a pool, got {POOL!r}")
            stages.append(StagePlan(tuple(channels), True))
            channels = []
        elif isinstance(entry, int) and not isinstance(entry, bool) and entry > 0:
            channels.append(entry)
        else:
            raise ValueError(f"plan[{i}]: expected a channel count > 0 or {POOL!r}, got {entry!r}")
    if channels:
        stages.append(StagePlan(tuple(channels), False))
    if not stages:
        raise ValueError(f"plan: expected at least one channel count, got {list(plan)}")
    return tuple(stages)
