"""Networks of tokens, trained in memory and asked where there is an answer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab.data import Dataset, Split
from cnnlab.data.labels import NO_LABEL
from cnnlab.train.fit import Fitted, fit
from cnnlab.train.step import scores


def fit_tokens(
    model: eqx.Module, data: Dataset, *, steps: int, batch_size: int, lr: float, seed: int = 0
) -> Fitted:
    """A network after `steps` of AdamW, whose rate rises to `lr` in a twentieth of them and falls
    with a cosine; gradients are clipped to a norm of 1."""
    rate = optax.warmup_cosine_decay_schedule(0.0, lr, steps // 20, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate))
    return fit(model, data, optimizer=optimizer, steps=steps, batch_size=batch_size, seed=seed)


def token_accuracy(fitted: Fitted, split: Split) -> float:
    """The share of the positions with a label, of all examples together, where that has the highest
    score."""
    tokens, label = split.take(np.arange(len(split)))
    said = _said(fitted.model, fitted.state, jnp.asarray(tokens, jnp.int32))
    return float((np.asarray(said) == label)[label != NO_LABEL].mean())


@eqx.filter_jit
def _said(model: eqx.Module, state: eqx.nn.State, tokens: jax.Array) -> jax.Array:
    return scores(eqx.nn.inference_mode(model), tokens, state)[0].argmax(-1)
