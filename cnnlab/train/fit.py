"""Training in memory: a model, examples and an optimizer; no directory, no config."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from cnnlab.arguments import checked, fraction, positive_int
from cnnlab.data import ArraySplit, Dataset, Split, loader
from cnnlab.data.labels import NO_LABEL
from cnnlab.data.splits import are_tokens
from cnnlab.display import View, shown
from cnnlab.files import png
from cnnlab.models import described
from cnnlab.train import report
from cnnlab.train.losses import Loss, cross_entropy, for_data
from cnnlab.train.parallel import Jit, Runtime
from cnnlab.train.scores import shown as scores_shown
from cnnlab.train.state import init_state, seed_keys
from cnnlab.train.step import Prepare, make_prepare, make_train_step, scores
from cnnlab.train.tasks import make_task, task_of
from cnnlab.train.training import Callback, History, NonFiniteLoss, Trainer

_AnyArray = Shaped[Array | np.ndarray, "..."]
Examples = Dataset | Split | tuple[_AnyArray, _AnyArray]


@shown
class Fitted(NamedTuple):
    """A trained model (the moving average, where one is asked for), its state, and how it went.

    `history`: the metrics of each step, `(steps,)` each: `loss`, `accuracy` (where labels can be
    right or wrong), `grad_norm`, `update_norm`, `param_norm`.
    """

    model: eqx.Module
    state: eqx.nn.State
    history: dict[str, Float[np.ndarray, " steps"]]

    def view(self) -> View:
        names = [name for name in ("loss", "accuracy") if name in self.history]
        steps = len(self.history["loss"])
        last = {name: float(self.history[name][-max(1, steps // 10) :].mean()) for name in names}
        facts = {
            "network": described(self.model),
            "training": f"{steps:,} steps; the mean of the last tenth: {scores_shown(last)}",
        }
        return View.of("fitted", facts, picture=self._curves)

    def _curves(self) -> bytes:
        points = lambda values: list(enumerate(values.tolist(), 1))
        names = [name for name in ("loss", "accuracy") if name in self.history]
        drawn = report.drawn_curves({n: {"training": points(self.history[n])} for n in names})
        return png(drawn, dpi=80)


@checked
def fit(
    model: eqx.Module,
    data: Examples,
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    batch_size: int,
    seed: int = 0,
    loss: Loss = cross_entropy,
    state: eqx.nn.State | None = None,
    prepare: Prepare | None = None,
    runtime: Runtime | None = None,
    average: float | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    callbacks: Sequence[Callback] = (),
) -> Fitted:
    """Train a model in memory.

    With the model, the seed, the `prepare` and the optimizer of `cnnlab.build(cfg)`, the numbers
    are those of its run directory, to the bit.

    **Arguments:**

    - `model`: of a batch, `(x, state, *, key) -> (logits, state)` or, without a state, `(x, *, key)
        -> logits`; the key, for dropout, may be left out.
    - `data`: what to train on. A `Dataset`: its training split, by default normalised and with
        the targets of its task, one-hot for classes. A `Split`, or two arrays: images
        `(n, *spatial, c)`, which become float32 as they are, or tokens `(n, length)`, which stay
        whole numbers; and labels, classes `(n,)` or for
        other losses any numbers `(n, ...)`.
    - `optimizer`: of `optax`, or from `cnnlab.train.optim`.
    - `steps`: how many; an epoch has `n // batch_size`.
    - `batch_size`: examples a step, drawn without replacement in each epoch.
    - `seed`: of the order of the examples, of what is random in `prepare`, and of dropout.
    - `loss`: `(logits, labels) ->` the loss of each example `(b,)`, or their mean; of
        `train.losses`, or any other.
    - `state`: what `eqx.nn.make_with_state` gave with the model; taken out of a model that still
        holds it.
    - `prepare`: `(batch, key, step) -> batch`, within the compiled step, such as
        `train.make_prepare(...)`.
    - `runtime`: `train.Jit()` if not given; `Pmap(...)`, `Shard(...)`.
    - `average`: decay of a moving average of the weights, which is what is returned then.
    - `precision`: of the computation; parameters keep their own.
    - `callbacks`: called with the `Training` after every step: its `step`, its `metrics` (on the
        device: reading them waits for the step), its `state()`. One that returns True ends it.

    **Returns:** the model, its state and the history. The model that was given stays as it is.

    **Raises:** `ValueError` that begins with the argument's name; `NonFiniteLoss` when the loss of
    a step is not a number.
    """
    positive_int("steps", steps)
    if average is not None:
        fraction("average", average)
    runtime = Jit() if runtime is None else runtime
    runtime.check_batch_size(batch_size)
    if state is None:
        model, state = with_state(model)
    split = _split(data)
    batches = loader(split, batch_size, seed=seed, part=runtime.part)
    if prepare is None:
        prepare = _default_prepare(data, batches.steps_per_epoch)
        if loss is cross_entropy:
            _check_classes(model, state, split)
    task = None
    if isinstance(data, Dataset):
        task, loss = task_of(data), for_data(loss, data)
    elif _numbers(split):
        task = make_task("regression", (), (), ())  # of which none is right or wrong
    step = make_train_step(
        optimizer, loss=loss, task=task, compute_dtype=jnp.dtype(precision), average_decay=average
    )
    _, key = seed_keys(seed)
    start = init_state(model, state, optimizer, average=average is not None, key=key)
    history = History()
    with Trainer(step, prepare, runtime).start(start, batches) as training:
        training.upto(steps, [history, *callbacks])
        model, state = training.state().averaged()
    found = history.arrays()
    wrong = np.flatnonzero(~np.isfinite(found["loss"]))
    if len(wrong):
        raise NonFiniteLoss(
            f"the loss is {found['loss'][wrong[0]]} at step {wrong[0] + 1} of {steps}; try a "
            f"smaller learning rate, or optax.clip_by_global_norm(1.0) before the optimizer"
        )
    return Fitted(model, state, found)


def with_state(model: eqx.Module) -> tuple[eqx.Module, eqx.nn.State]:
    """A model without its state, and the state.

    **Raises:** `ValueError` where the state was taken out already.
    """
    try:
        return eqx.nn.make_with_state(lambda: model)()
    except ValueError as error:
        raise ValueError(
            "state: expected what eqx.nn.make_with_state gave with the model, got None"
        ) from error


def _split(data: Examples) -> Split:
    if isinstance(data, Dataset):
        return data.train
    if isinstance(data, Split):
        return data
    image, label = map(np.asarray, data)
    if () in (image.shape, label.shape):
        raise ValueError(
            f"data: expected arrays of examples, got shapes {image.shape} and {label.shape}"
        )
    try:
        return ArraySplit(image, label)
    except ValueError as error:
        raise ValueError(f"data: {error}") from error


def _default_prepare(data: Examples, steps_per_epoch: int) -> Prepare:
    if not isinstance(data, Dataset):
        return lambda batch, key, step: batch
    return make_prepare(
        mean=data.mean,
        std=data.std,
        task=task_of(data),
        transforms=(),
        label_smoothing=0.0,
        steps_per_epoch=steps_per_epoch,
    )


def _numbers(split: Split) -> bool:
    """Whether labels are numbers, and no probabilities of classes either."""
    if not isinstance(split, ArraySplit) or split.label.dtype.kind != "f":
        return False
    label = split.label
    return not ((label >= 0).all() and np.allclose(label.sum(-1), 1, atol=1e-3))


def _check_classes(model: eqx.Module, state: eqx.nn.State, split: Split) -> None:
    """Refuse a class for which the model has no score: its loss would not be a number."""
    if not isinstance(split, ArraySplit) or split.label.dtype.kind != "i" or not len(split):
        return
    image = jnp.asarray(split.image[:1], None if are_tokens(split.image) else jnp.float32)
    logits, _ = eqx.filter_eval_shape(scores, model, image, state, key=jr.key(0))
    low, high = split.label.min(), split.label.max()
    least = NO_LABEL if split.label.ndim > 1 else 0
    if low < least or high >= logits.shape[-1]:
        raise ValueError(
            f"data: expected classes from 0 to {logits.shape[-1] - 1}, of which the model has a "
            f"score each, got {low if low < least else high}"
        )
