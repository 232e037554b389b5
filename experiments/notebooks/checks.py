"""Answers to the notebooks' exercises: each is computed here, and compared with yours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import analysis, models, ops

_X = np.random.default_rng(0).standard_normal((12, 12, 3)).astype(np.float32)


@dataclass(frozen=True)
class Exercise:
    """`right` says whether an answer is; it may fail at an answer of another kind."""

    right: Callable[[Any], bool]
    hint: str


def _is(expected: Any) -> Callable[[Any], bool]:
    """Whether an answer is a number, or some numbers in their order."""

    def right(answer: Any) -> bool:
        given = np.asarray(answer, float)
        return given.shape == np.shape(expected) and np.allclose(given, expected, rtol=1e-6)

    return right


def _sees(plan: Any) -> bool:
    """Whether a stack of 3x3 convolutions and 2x2 pools sees at least 16 and below 24 positions."""
    make = eqx.nn.make_with_state(models.VGG)
    model, _ = eqx.filter_eval_shape(make, (64, 64, 1), list(plan), key=jax.random.key(0))
    size = models.feature_info(model)[-1].receptive_field[0]
    return isinstance(size, int) and 16 <= size < 24


def _same_map(f: Any, expected: Callable[[Any], Any]) -> bool:
    x = jnp.asarray(_X)
    return bool(np.allclose(f(x), expected(x), atol=1e-4))


def _commutes(offset: Any) -> bool:
    """Whether maxima of 2x2 of stride 2 commute with a shift that isn't 0."""
    pool = lambda x: ops.max_pool(x, (2, 2))
    errors = analysis.equivariance_errors(pool, jnp.asarray(_X[None]), tuple(offset), stride=2)
    return any(offset) and errors.whole < 1e-6


def _blurs(layer: Any) -> bool:
    """Whether a layer gives each channel's mean over 3x3 windows."""
    ones = jnp.full((3, 3, 1, 3), 1 / 9)
    return _same_map(layer, lambda x: ops.conv(x, ones, groups=3))


def _separate(layer: Any) -> bool:
    """Whether each of 12 outputs of a layer sees one of its 3 inputs, and all three are seen."""
    x = jnp.asarray(_X)
    if layer(x).shape != (12, 12, 12):
        return False
    slopes = jax.jacrev(lambda x: layer(x).sum((0, 1)))(x)
    seen = np.asarray(jnp.any(slopes != 0, axis=(1, 2)))  # (outputs, inputs)
    return bool((seen.sum(1) == 1).all() and seen.any(0).all())


def _pays(answer: Any) -> bool:
    depthwise, pointwise, dense = 9 * 64, 64 * 128, 9 * 64 * 128
    return _is(dense / (depthwise + pointwise))(answer)


EXERCISES: dict[str, Exercise] = {
    # A first network.
    "parameters": Exercise(
        _is(3 * 3 * 16 * 32 + 32), "a kernel has k x k x c_in x c_out entries; and the bias?"
    ),
    "size": Exercise(_is((14, 14)), "SAME with a stride rounds up: ceil(n / stride)"),
    "multiply_adds": Exercise(
        _is(28 * 28 * 3 * 3 * 16 * 32), "one for every output entry and every entry of its window"
    ),
    # Convolution in four ways.
    "kernel": Exercise(
        lambda kernel: _same_map(
            lambda x: ops.conv(x, jnp.asarray(kernel), groups=3),
            lambda x: np.roll(x, 1, axis=1) * (np.arange(12) > 0)[:, None],
        ),
        "shape (3, 3, 1, 3): a single 1 in each channel, on the side that the image comes from",
    ),
    "matrix": Exercise(_is((8 * 8 * 4, 8 * 8 * 2)), "(outputs, inputs), channels included"),
    "length": Exercise(_is(100 + 9 - 1), "a kernel of k entries makes the result k - 1 longer"),
    # Receptive fields and equivariance.
    "field": Exercise(_is(1 + 4 * 2), "each 3x3 convolution of stride 1 adds two"),
    "plan": Exercise(_sees, "a pool adds as much as the step so far, and doubles the step"),
    "offset": Exercise(_commutes, "the shift has to be a whole number of windows"),
    # Your own layer and data.
    "blur": Exercise(_blurs, "a depthwise convolution with 1/9 in each entry, padding SAME"),
    "channels": Exercise(
        _separate, "as many groups as input channels; four outputs of each, (*batch, h, w, 12)"
    ),
    "loss": Exercise(
        lambda loss: _is([0.5, 2.0])(
            loss(jnp.array([[1.0, 2.0], [0.0, 4.0]]), jnp.array([[2.0, 2.0], [0.0, 2.0]]))
        ),
        "one number for each example: the mean over the outputs of the squared differences",
    ),
    # Sweep and compare.
    "saving": Exercise(_pays, "k k c_in c_out against k k c_in + c_in c_out"),
    "spread": Exercise(
        _is(np.std([91.0, 93.0, 95.0], ddof=1)), "the deviation of a sample divides by n - 1"
    ),
    "runs": Exercise(_is(3 * 2 * 5), "every choice of one with every choice of the others"),
}


def check(name: str, answer: Any) -> bool:
    """Say whether an answer is right.

    **Arguments:** `name`, an exercise's; `answer`, None where there is none yet.
    """
    exercise = EXERCISES[name]
    if answer is None:
        print(f"{name}: your turn")
        return False
    try:
        right = bool(exercise.right(answer))
    except Exception as problem:  # whatever was given: that it can't be tried is the answer
        print(f"{name}: not yet ({type(problem).__name__}: {problem}). Hint: {exercise.hint}")
        return False
    print(f"{name}: right" if right else f"{name}: not yet. Hint: {exercise.hint}")
    return right
