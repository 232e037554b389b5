"""Optimizers by name: optax's, with one rule for weight decay.

Decay touches kernels and matrices only: biases and the weights of normalisations, the arrays of
rank 0 and 1, keep their size (He et al., "Bag of tricks", 2019, section 3.1). Every function takes
the schedule first (`step -> factor in [0, 1]`) and the peak rate as `lr`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from cnnlab.train.schedules import Schedule


def decayed(params: PyTree) -> PyTree:
    """A mask that is true for the arrays that weight decay touches: rank 2 and more."""
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _rate(schedule: Schedule, lr: float) -> Schedule:
    if not lr > 0:
        raise ValueError(f"lr: expected a rate > 0, got {lr}")
    return lambda step: lr * schedule(step)


def _fraction(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {value}")
    return value


def _decay(weight_decay: float) -> float:
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay: expected a number >= 0, got {weight_decay}")
    return weight_decay


def sgd(
    schedule: Schedule,
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    nesterov: bool = True,
    weight_decay: float = 5e-4,
) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum; the decay is added to the gradient (L2)."""
    return optax.chain(
        optax.add_decayed_weights(_decay(weight_decay), decayed),
        optax.sgd(_rate(schedule, lr), _fraction("momentum", momentum) or None, nesterov),
    )


def adam(
    schedule: Schedule,
    *,
    lr: float = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba, 2015); the decay is added to the gradient (L2)."""
    return optax.chain(
        optax.add_decayed_weights(_decay(weight_decay), decayed),
        optax.adam(_rate(schedule, lr), _fraction("b1", b1), _fraction("b2", b2), eps),
    )


def adamw(
    schedule: Schedule,
    *,
    lr: float = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.05,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""
    return optax.adamw(
        _rate(schedule, lr),
        _fraction("b1", b1),
        _fraction("b2", b2),
        eps,
        weight_decay=_decay(weight_decay),
        mask=decayed,
    )


def lion(
    schedule: Schedule,
    *,
    lr: float = 3e-4,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 0.1,
) -> optax.GradientTransformation:
    """Lion (Chen et al., 2023): the sign of an interpolated momentum."""
    return optax.lion(
        _rate(schedule, lr),
        _fraction("b1", b1),
        _fraction("b2", b2),
        weight_decay=_decay(weight_decay),
        mask=decayed,
    )


def _muon_dimensions(params: PyTree) -> PyTree:
    """Kernels `(*k, c_in, c_out)` as matrices: inputs of all taps against outputs."""

    def matrix(p: Array) -> optax.contrib.MuonDimensionNumbers | None:
        if p.ndim < 2:
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(p.ndim - 1)), p.ndim - 1)

    return jax.tree.map(matrix, params)


def muon(
    schedule: Schedule,
    *,
    lr: float = 0.02,
    momentum: float = 0.95,
    weight_decay: float = 0.01,
    adam_lr: float = 3e-3,
) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for kernels and matrices, Adam at `adam_lr` for the rest."""
    return optax.contrib.muon(
        _rate(schedule, lr),
        beta=_fraction("momentum", momentum),
        weight_decay=_decay(weight_decay),
        weight_decay_mask=decayed,
        adam_learning_rate=_rate(schedule, adam_lr),
        muon_weight_dimension_numbers=_muon_dimensions,
    )


def adafactor(
    schedule: Schedule, *, lr: float = 1e-2, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Adafactor (Shazeer & Stern, 2018): factored second moments; decoupled weight decay.

    optax's own decay for it is not scaled by the rate; here it is, as for `adamw`.
    """
    return optax.chain(
        optax.adafactor(None),
        optax.add_decayed_weights(-_decay(weight_decay), decayed),
        optax.scale_by_schedule(_rate(schedule, lr)),
    )


def _gathered(accumulate: int, steps: int | None) -> int | Callable[[Any], Array]:
    """How many batches make an update, as `optax.MultiSteps` takes it: by the update's number."""
    full, rest = divmod(steps or 0, accumulate)
    return (lambda update: jnp.where(update < full, accumulate, rest)) if rest else accumulate


def make_optimizer(
    rule: optax.GradientTransformation,
    *,
    clip_norm: float | None = None,
    accumulate: int = 1,
    steps: int | None = None,
    trainable: PyTree | None = None,
) -> optax.GradientTransformation:
    """The whole update: clip by the global norm, the rule, accumulation, frozen parameters.

    **Arguments:**

    - `rule`: the optimizer.
    - `clip_norm`: largest global norm of the gradient, `None` for no clipping.
    - `accumulate`: batches whose mean gradient makes one update.
    - `steps`: batches of the whole run. What `accumulate` leaves over of them makes the last
        update, by its own mean; without `steps` it would make none.
    - `trainable`: a tree of booleans over the parameters (from `models.freeze`); what is false
        gets no update and no optimizer state. `None` trains everything.
    """
    if clip_norm is not None:
        if not clip_norm > 0:
            raise ValueError(f"clip_norm: expected a norm > 0 or null, got {clip_norm}")
        rule = optax.chain(optax.clip_by_global_norm(clip_norm), rule)
    if accumulate < 1:
        raise ValueError(f"accumulate: expected a number of batches >= 1, got {accumulate}")
    if accumulate > 1:
        rule = optax.MultiSteps(rule, _gathered(accumulate, steps)).gradient_transformation()
    if trainable is not None:
        # Behind a function: optax would call a label tree that is itself a (callable) module.
        rule = optax.multi_transform({True: rule, False: optax.set_to_zero()}, lambda _: trainable)
    return rule
