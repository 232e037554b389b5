"""A trained model that classifies single examples, without its data set."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from cnnlab.data import Dataset
from cnnlab.data.batches import Batch
from cnnlab.errors import CnnlabError
from cnnlab.train.step import make_judge


def describe(data: Dataset) -> dict[str, Any]:
    """What a prediction needs to know of a data set, as JSON; every checkpoint holds it."""
    return {
        "name": data.name,
        "input_shape": list(data.input_shape),
        "class_names": list(data.class_names),
        "mean": np.asarray(data.mean).tolist(),
        "std": np.asarray(data.std).tolist(),
        "high": data.high,
        "fingerprint": data.fingerprint,
    }


def same_examples(known: dict[str, Any], data: Dataset) -> bool:
    """Whether a data set is the one that `describe` described, as far as that tells."""
    now = describe(data)
    for key in known.keys() & now.keys():
        if key in ("mean", "std"):  # sums of floats may differ in their last digits elsewhere
            same = np.shape(known[key]) == np.shape(now[key])
            same = same and np.allclose(known[key], now[key], rtol=1e-4, atol=1e-6)
        else:
            same = known[key] == now[key]
        if not same:
            return False
    return True


class Predictor:
    """`config.load_predictor(run)` makes one.

    **Attributes:** `input_shape` `(*spatial, c)`, `class_names`, `mean` and `std` `(c,)` of the
    training examples, which are subtracted and divided by; `high`, the value of white in pictures.
    """

    def __init__(self, model: eqx.Module, model_state: eqx.nn.State, data: dict[str, Any]) -> None:
        self.input_shape = tuple(data["input_shape"])
        self.class_names = tuple(data["class_names"])
        self.high = data["high"]
        self.mean, self.std = (np.asarray(data[k], np.float32) for k in ("mean", "std"))
        judge = make_judge(mean=self.mean, std=self.std)

        @eqx.filter_jit
        def run(model: Any, state: Any, batch: Batch) -> Any:
            return judge(model, state, batch)

        self._run, self._model, self._state = run, model, model_state

    def __call__(self, example: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, " k"]:
        """The probability of each class for one raw example of shape `input_shape`.

        **Raises:** `ValueError` for another shape; `CnnlabError` where the answer is not numbers.
        """
        if example.shape != self.input_shape:
            raise ValueError(
                f"example: expected shape {self.input_shape}, got {tuple(example.shape)}"
            )
        batch = Batch(jnp.asarray(example)[None], jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))
        probabilities = np.asarray(self._run(self._model, self._state, batch)[0])
        if not np.isfinite(probabilities).all():
            raise CnnlabError("the network's probabilities for this example are not numbers")
        return probabilities

    def top(self, example: Shaped[np.ndarray, "..."], count: int) -> list[tuple[str, float]]:
        """The `count` most probable classes, by name, with their probabilities."""
        if count < 1:
            raise ValueError(f"top: expected a number of classes >= 1, got {count}")
        probabilities = self(example)
        order = np.argsort(-probabilities)[:count]
        return [(self.class_names[i], float(probabilities[i])) for i in order]
