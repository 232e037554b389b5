"""Learning-rate schedules as shapes in [0, 1]; the optimizer's `lr` is the peak.

Each function takes the length of the run first and gives `step -> factor`. A warm-up is a duration
in steps (the config gives it as steps, epochs or examples).
"""

import collections

import optax
from optax import Schedule


def _warmed_up(body: Schedule, warmup: int) -> Schedule:
    """`warmup` steps from (nearly) 0 to 1, then `body` from its own step 0."""
    if warmup == 0:
        return body
    ramp = optax.schedules.linear_schedule(1.0 / (warmup + 1), 1.0, warmup)
    return optax.schedules.join_schedules([ramp, body], [warmup])


def _check(total: int, warmup: int) -> None:
    if not 0 <= warmup < total:
        raise ValueError(
            f"warmup: expected fewer steps than the run's {total}, got {warmup}; "
            "schedule.warmup.steps=1 shortens it"
        )


def constant(total: int, *, warmup: int = 0) -> Schedule:
    """1 after the warm-up."""
    _check(total, warmup)
    return _warmed_up(optax.schedules.constant_schedule(1.0), warmup)


def cosine(total: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `final` (Loshchilov & Hutter, SGDR, 2017), after the warm-up."""
    _check(total, warmup)
    if not 0 <= final <= 1:
        raise ValueError(f"final: expected a factor in [0, 1], got {final}")
    return _warmed_up(optax.schedules.cosine_decay_schedule(1.0, total - warmup, final), warmup)


def onecycle(total: int, *, peak: float = 0.2, start: float = 0.1, final: float = 0.0) -> Schedule:
    """One triangle: linear from `start` to 1 at the fraction `peak` of the run, linear to `final`.

    Smith & Topin, "Super-convergence", 2018.
    """
    if not 0 <= peak <= 1:
        raise ValueError(f"peak: expected a fraction of the run in [0, 1], got {peak}")
    top = min(int(peak * total), total - 1)
    down = optax.schedules.linear_schedule(1.0, final, total - top)
    if top == 0:
        return down
    up = optax.schedules.linear_schedule(start, 1.0, top)
    return optax.schedules.join_schedules([up, down], [top])


def step(
    total: int, *, milestones: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1, warmup: int = 0
) -> Schedule:
    """Times `factor` at each milestone, a fraction of the run."""
    _check(total, warmup)
    for i, milestone in enumerate(milestones):
        if not 0 < milestone < 1:
            raise ValueError(
                f"milestones[{i}]: expected a fraction of the run in (0, 1), got {milestone}"
            )
    # Milestones that fall on one step of a short run all count there.
    places = collections.Counter(max(1, int(m * total) - warmup) for m in milestones)
    boundaries = {place: factor**count for place, count in places.items()}
    return _warmed_up(optax.schedules.piecewise_constant_schedule(1.0, boundaries), warmup)
