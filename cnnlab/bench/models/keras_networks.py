"""`keras.applications` on the JAX backend."""

import importlib
import os
from typing import Any

from cnnlab.bench.models.program import Program, images

CLASSES = 1000


def build(name: str, batch: int, size: int, seed: int) -> Program:
    """A network of `keras.applications` with its own head, as Keras makes it without weights."""
    os.environ["KERAS_BACKEND"] = "jax"  # read when Keras loads; TensorFlow is its default
    keras: Any = importlib.import_module("keras")
    keras.utils.set_random_seed(seed)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None
    )

    def apply(parameters: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        return model.stateless_call(parameters, state, inputs, training=training)

    variables = model.trainable_variables, model.non_trainable_variables
    parameters, state = ([v.value for v in found] for found in variables)
    return Program(parameters, state, apply, *images(batch, (size, size, 3), CLASSES, seed))
