"""Models with random arrays, drawn by NumPy: initialisers would compile for every new shape."""

import equinox as eqx
import jax
import numpy as np
import pytest

from cnnlab.models import named_arrays, with_arrays


@pytest.fixture
def make():
    """`make(build, *args, **kwargs)` is `eqx.nn.make_with_state(build)(...)`, other every time."""
    rng = np.random.default_rng(5678)

    def _make(build, *args, **kwargs):
        build = eqx.nn.make_with_state(build)
        template, state = eqx.filter_eval_shape(build, *args, **kwargs)
        arrays = {
            # Positive where an array may be a variance, and everywhere of the size of a He start.
            name: jax.device_put(rng.uniform(0.5, 1.5, a.shape).astype(a.dtype))
            if a.ndim == 1
            else jax.device_put(
                rng.normal(0, np.prod(a.shape[:-1]) ** -0.5, a.shape).astype(a.dtype)
            )
            for name, a in named_arrays(template, state).items()
        }
        return with_arrays(template, state, arrays)

    return _make
