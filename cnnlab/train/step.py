"""One step of training, as pure functions: prepare a batch, update the state, judge a batch."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from cnnlab.arguments import checked
from cnnlab.data import augment
from cnnlab.data.batches import Batch
from cnnlab.data.splits import are_tokens
from cnnlab.nn.filters.base import Filter
from cnnlab.nn.replicas import pmean
from cnnlab.train import tasks
from cnnlab.train.losses import Loss, cross_entropy
from cnnlab.train.state import TrainState, step_key
from cnnlab.train.tasks import Classification, Task

Metrics = dict[str, Array]
Prepare = Callable[[Batch, PRNGKeyArray, Int[Array, ""]], Batch]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Model = Callable[..., Any]
Judge = Callable[[eqx.Module, eqx.nn.State, Batch], Float[Array, "b ..."]]
Statistics = Float[Array | np.ndarray, " c"]


def scores(
    model: Model, x: Array, state: eqx.nn.State, *, key: PRNGKeyArray | None = None
) -> tuple[Array, eqx.nn.State]:
    """What a model says of a batch, and its new state: `model(x, state, key=key)`, or where its
    call does not name them, without the state or the key."""
    parameters = inspect.signature(model).parameters
    options = {"key": key} if "key" in parameters else {}
    if "state" in parameters:
        return model(x, state, **options)
    return model(x, **options), state


@checked
def make_prepare(
    *,
    mean: Statistics,
    std: Statistics,
    task: Task,
    transforms: Sequence[Callable[..., Batch]],
    label_smoothing: float,
    steps_per_epoch: int,
) -> Prepare:
    """`(raw batch, key, step) -> batch`: normalised, augmented, with the task's targets.

    Everything random is a function of the run's key and the step, and of nothing else. With
    `label_smoothing` e, a one-hot target becomes `1 - e + e/k` and `e/k` (Szegedy et al., 2016).
    """
    one_hot = isinstance(task, Classification)
    if label_smoothing and not one_hot:
        raise ValueError(
            f"label_smoothing: expected 0 for {task.name}, whose targets are not of one class each,"
            f" got {label_smoothing}"
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing: expected a number in [0, 1), got {label_smoothing}")

    def prepare(raw: Batch, key: PRNGKeyArray, step: Int[Array, ""]) -> Batch:
        label = task.target(jnp.asarray(raw.label))
        if label_smoothing:
            smooth = optax.smooth_labels(label, label_smoothing)
            label = jnp.where(label.any(-1, keepdims=True), smooth, 0)  # none stays none
        batch = raw._replace(image=augment.normalise(raw.image, mean, std), label=label)
        epoch = step // steps_per_epoch
        return augment.augment(transforms, batch, key=step_key(key, step, 0), epoch=epoch)

    return prepare


def cast(tree: PyTree, dtype: DTypeLike) -> PyTree:
    """The arrays of a model as it computes in a type. Filters keep theirs: their kernels are made
    of many powers, which of numbers of 8 bits would be others."""
    to = lambda v: v.astype(dtype) if eqx.is_inexact_array(v) else v
    return jax.tree.map(to, tree, is_leaf=lambda v: isinstance(v, Filter))


@checked
def make_train_step(
    optimizer: optax.GradientTransformation,
    *,
    loss: Loss = cross_entropy,
    task: Task | None = None,
    compute_dtype: DTypeLike = jnp.float32,
    average_decay: float | None = None,
) -> Step:
    """`(state, batch) -> (state, metrics)`, pure.

    The same function runs on one device and on each of several replicas, where gradients and
    metrics are averaged over the axis `nn.replicas.AXIS`. Parameters stay in their own dtype; the
    model computes in `compute_dtype`; logits and loss are float32.

    **Arguments:**

    - `loss`: `(logits, label) -> ` a loss for each example, or their mean.
    - `task`: tells where the scores are right (`Task.hits`) and which positions count in the means
      of the loss and the accuracy (`Task.counted`). None: those with classes as labels.
    - `average_decay`: of the moving average of parameters and state, `None` for none.

    **Returns:** a function; its metrics are `loss`, `accuracy` (unless `hits` gives None), and the
    norms of gradient, update and parameters.
    """

    about = tasks if task is None else task

    def of_params(
        params: PyTree, static: PyTree, state: TrainState, batch: Batch
    ) -> tuple[Array, tuple[eqx.nn.State, Array]]:
        model = eqx.combine(cast(params, compute_dtype), static)
        key = step_key(state.key, state.step, 1)
        image, label = jnp.asarray(batch.image), jnp.asarray(batch.label)
        image = image if are_tokens(image) else image.astype(compute_dtype)
        logits, model_state = scores(model, image, state.model_state, key=key)
        logits = logits.astype(jnp.float32)
        losses = loss(logits, label)
        if losses.shape not in (logits.shape[: losses.ndim], label.shape[: losses.ndim]):
            raise ValueError(  # (b, 1) less (b,), say, is (b, b)
                f"loss: expected one for each example, or their mean, got shape {losses.shape} of "
                f"scores {logits.shape} and labels {label.shape}"
            )
        return _mean(losses, about.counted(logits, label)), (model_state, logits)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        params, static = eqx.partition(state.model, eqx.is_inexact_array)
        (value, (model_state, logits)), grads = jax.value_and_grad(of_params, has_aux=True)(
            params, static, state, batch
        )
        grads = pmean(grads)
        # Optax relies on what debugging settings may forbid.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, opt_state = optimizer.update(grads, state.opt_state, params)
        params: PyTree = optax.apply_updates(params, updates)
        label = jnp.asarray(batch.label)
        right = about.hits(logits, label)
        accuracy = {} if right is None else {"accuracy": _mean(right, about.counted(logits, label))}
        metrics = {
            **pmean({"loss": value, **accuracy}),
            "grad_norm": optax.tree.norm(grads),
            "update_norm": optax.tree.norm(updates),
            "param_norm": optax.tree.norm(params),
        }
        average = state.average
        if average_decay is not None:
            average = _move(average, (params, model_state), average_decay, state.step)
        state = TrainState(
            model=eqx.combine(params, static),
            model_state=model_state,
            opt_state=opt_state,
            average=average,
            step=state.step + 1,
            key=state.key,
        )
        return state, metrics

    return train_step


def _mean(values: Array, counted: Array | None) -> Float[Array, ""]:
    """The mean of the values that count, such that its mean over replicas is that of all theirs;
    0 where none does."""
    if counted is None or values.shape != counted.shape:
        return values.mean(dtype=jnp.float32)
    each = pmean(counted.sum(dtype=jnp.float32))  # of a replica, on average
    return (values * counted).sum(dtype=jnp.float32) / jnp.maximum(each, jnp.finfo(each).tiny)


def _move(average: PyTree, new: PyTree, decay: float, step: Int[Array, ""]) -> PyTree:
    """`a <- d a + (1 - d) x` with the decay growing from 0.1, so that the start is forgotten."""
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))

    def mix(a: Array, x: Array) -> Array:
        return a * d + x * (1 - d) if eqx.is_inexact_array(x) else x

    return jax.tree.map(mix, average, new)


@checked
def make_judge(
    *,
    mean: Statistics,
    std: Statistics,
    task: Task | None = None,
    views: str = "none",
    compute_dtype: DTypeLike = jnp.float32,
) -> Judge:
    """`(model, model_state, raw batch) -> answers` with the model in inference mode: class
    probabilities, or what else the `task` has.

    With several test-time `views`, the weighted mean of their answers.
    """
    answer = Classification(()).answer if task is None else task.answer

    weights = jnp.asarray(augment.view_weights(views))

    def judge(model: eqx.Module, model_state: eqx.nn.State, raw: Batch) -> Float[Array, "b ..."]:
        network = eqx.nn.inference_mode(cast(model, compute_dtype))
        images = augment.views(augment.normalise(raw.image, mean, std), views)

        def one(image: Array) -> Array:
            image = image if are_tokens(image) else image.astype(compute_dtype)
            logits, _ = scores(network, image, model_state)
            return answer(logits.astype(jnp.float32))

        return jnp.tensordot(weights, jax.lax.map(one, images), axes=1)

    return judge
