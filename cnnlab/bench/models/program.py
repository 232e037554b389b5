"""A network as two pure functions, whoever wrote it: its forward pass and a step of training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

LEARNING_RATE, MOMENTUM = 1e-3, 0.9
PASSES = ("forward", "step")


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over all leading axes; `logits` `(..., classes)`, `labels` `(...)`."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@dataclass(frozen=True, eq=False)
class Program:
    """**Attributes:**

    - `parameters`: what is trained; `state`: what a call changes besides (running means).
    - `apply`: `(parameters, state, inputs, training) -> (outputs, state)`, with `training` a bool.
    - `inputs`, `labels`: a batch; `loss`: of the outputs and the labels.
    """

    parameters: Any
    state: Any
    apply: Callable[[Any, Any, Any, bool], tuple[Any, Any]]
    inputs: Any
    labels: Any
    loss: Callable[[Any, Any], Any] = cross_entropy

    def forward(self, parameters: Any, state: Any, inputs: Any) -> Any:
        """The outputs as they are once training is over."""
        return self.apply(parameters, state, inputs, False)[0]

    def begin(self) -> tuple[Any, Any, Any]:
        """What a step carries on: parameters, momentum, state."""
        return self.parameters, _OPTIMIZER.init(self.parameters), self.state

    def step(self, carry: tuple[Any, Any, Any], inputs: Any, labels: Any) -> tuple[Any, Any]:
        """A step of SGD with momentum: what it carries on, and the loss before it."""
        parameters, momentum, state = carry

        def loss(parameters: Any) -> tuple[Any, Any]:
            outputs, changed = self.apply(parameters, state, inputs, True)
            return self.loss(outputs, labels), changed

        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        updates, momentum = _OPTIMIZER.update(gradient, momentum)
        return (optax.apply_updates(parameters, updates), momentum, state), value


_OPTIMIZER = optax.sgd(LEARNING_RATE, MOMENTUM)


def images(batch: int, shape: tuple[int, ...], classes: int, seed: int) -> tuple[Any, Any]:
    """Normal numbers `(batch, *shape)` and a label each."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((batch, *shape), np.float32)
    return jnp.asarray(values), jnp.asarray(generator.integers(0, classes, batch))
