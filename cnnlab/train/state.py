"""What training changes from one step to the next."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from cnnlab.arguments import checked

_Tree = TypeVar("_Tree")


class TrainState(eqx.Module):
    """Everything a step reads and writes; a checkpoint holds exactly this.

    `average` is the exponential moving average of the model's arrays and state, or `None`.
    """

    model: eqx.Module
    model_state: eqx.nn.State
    opt_state: PyTree
    average: PyTree | None
    step: Int[Array, "..."]
    key: PRNGKeyArray

    def averaged(self) -> tuple[eqx.Module, eqx.nn.State]:
        """The model to evaluate: the moving average where there is one."""
        if self.average is None:
            return self.model, self.model_state
        params, model_state = self.average
        return eqx.combine(params, self.model), model_state


@checked
def init_state(
    model: eqx.Module,
    model_state: eqx.nn.State,
    optimizer: optax.GradientTransformation,
    *,
    average: bool,
    key: PRNGKeyArray,
) -> TrainState:
    """The state before step 0, in buffers of its own: steps give their input's buffers up.

    **Arguments:**

    - `average`: whether a moving average is kept.
    - `key`: the key that every step's randomness is folded from.
    """
    arrays, static = eqx.partition((model, model_state, key), eqx.is_array)

    @jax.jit  # one program, not one a parameter
    def begin(arrays: PyTree) -> tuple[PyTree, PyTree, PyTree]:
        own = _copies(arrays)
        model, model_state, _ = eqx.combine(own, static)
        params = eqx.filter(model, eqx.is_inexact_array)
        averaged = eqx.filter((params, model_state), eqx.is_array)
        return own, optimizer.init(params), _copies(averaged) if average else None

    own, opt_state, averaged = begin(arrays)
    model, model_state, key = eqx.combine(own, static)
    return TrainState(
        model=model,
        model_state=model_state,
        opt_state=opt_state,
        average=averaged,
        step=jnp.asarray(0, jnp.int32),
        key=key,
    )


def _copies(tree: _Tree) -> _Tree:
    # Of their types and no weaker, as `jnp.full` makes them: after an update they would be others,
    # and the step compiled again.
    return jax.tree.map(lambda x: jnp.array(x, x.dtype), tree)


def seed_keys(seed: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """The keys that a run's seed stands for: of the initial weights, and of its training."""
    weights, training = jr.split(jr.key(seed))
    return weights, training


def step_key(key: PRNGKeyArray, step: Int[Array, ""], use: int) -> PRNGKeyArray:
    """The key of one use (0 augmentation, 1 model) at one step."""
    return jr.fold_in(jr.fold_in(key, step), use)
