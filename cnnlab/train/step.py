"""One step of training, as pure functions: prepare a batch, update the state, judge a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from cnnlab.arguments import checked
from cnnlab.data import augment
from cnnlab.data.batches import Batch
from cnnlab.nn.replicas import pmean
from cnnlab.train.state import TrainState, step_key

Metrics = dict[str, Array]
Prepare = Callable[[Batch, PRNGKeyArray, Int[Array, ""]], Batch]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


@checked
def make_prepare(
    *,
    mean: Any,
    std: Any,
    num_classes: int,
    transforms: Sequence[Callable[..., Batch]],
    label_smoothing: float,
    steps_per_epoch: int,
) -> Prepare:
    """`(raw batch, key, step) -> batch`: normalised, augmented, with soft targets.

    Everything random is a function of the run's key and the step, and of nothing else. With
    `label_smoothing` e, a one-hot target becomes `1 - e + e/k` and `e/k` (Szegedy et al., 2016).
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing: expected a number in [0, 1), got {label_smoothing}")

    def prepare(raw: Batch, key: PRNGKeyArray, step: Int[Array, ""]) -> Batch:
        batch = augment.prepare(raw, mean, std, num_classes)
        batch = batch._replace(label=optax.smooth_labels(batch.label, label_smoothing))
        epoch = step // steps_per_epoch
        return augment.augment(transforms, batch, key=step_key(key, step, 0), epoch=epoch)

    return prepare


def _cast(tree: PyTree, dtype: DTypeLike) -> PyTree:
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


@checked
def make_train_step(
    optimizer: optax.GradientTransformation,
    *,
    compute_dtype: DTypeLike = jnp.float32,
    average_decay: float | None = None,
) -> Step:
    """`(state, batch) -> (state, metrics)`, pure.

    The same function runs on one device and on each of several replicas, where gradients and
    metrics are averaged over the axis `nn.replicas.AXIS`. Parameters stay in their own dtype; the
    model computes in `compute_dtype`; logits and loss are float32.
    """

    def loss_fn(
        params: PyTree, static: PyTree, state: TrainState, batch: Batch
    ) -> tuple[Array, tuple[eqx.nn.State, Array]]:
        model = eqx.combine(_cast(params, compute_dtype), static)
        key = step_key(state.key, state.step, 1)
        image = batch.image.astype(compute_dtype)
        logits, model_state = model(image, state.model_state, key=key)
        logits = logits.astype(jnp.float32)
        loss = optax.softmax_cross_entropy(logits, batch.label).mean()
        return loss, (model_state, logits)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        params, static = eqx.partition(state.model, eqx.is_inexact_array)
        (loss, (model_state, logits)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            params, static, state, batch
        )
        grads = pmean(grads)
        # Optax relies on what debugging settings may forbid.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, opt_state = optimizer.update(grads, state.opt_state, params)
        params: PyTree = optax.apply_updates(params, updates)
        correct = jnp.argmax(logits, -1) == jnp.argmax(batch.label, -1)
        metrics = {
            **pmean({"loss": loss, "accuracy": correct.mean(dtype=jnp.float32)}),
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


def _move(average: PyTree, new: PyTree, decay: float, step: Int[Array, ""]) -> PyTree:
    """`a <- d a + (1 - d) x` with the decay growing from 0.1, so that the start is forgotten."""
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))

    def mix(a: Any, x: Any) -> Any:
        return a * d + x * (1 - d) if eqx.is_inexact_array(x) else x

    return jax.tree.map(mix, average, new)


@checked
def make_judge(
    *, mean: Any, std: Any, views: str = "none", compute_dtype: DTypeLike = jnp.float32
) -> Callable[[eqx.Module, eqx.nn.State, Batch], Float[Array, "b k"]]:
    """`(model, model_state, raw batch) -> class probabilities` with the model in inference mode.

    With several test-time `views`, the weighted mean of their probabilities.
    """

    weights = jnp.asarray(augment.view_weights(views))

    def judge(model: eqx.Module, model_state: eqx.nn.State, raw: Batch) -> Float[Array, "b k"]:
        network = eqx.nn.inference_mode(_cast(model, compute_dtype))
        images = augment.views(augment.normalise(raw.image, mean, std), views)

        def one(image: Array) -> Array:
            logits, _ = network(image.astype(compute_dtype), model_state)
            return jax.nn.softmax(logits.astype(jnp.float32))

        return jnp.tensordot(weights, jax.lax.map(one, images), axes=1)

    return judge
