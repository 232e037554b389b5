"""Single layers that were reported as slow: the shapes of the reports, which are open.

- jax 23713: `flax.nnx.Conv`, depthwise 3x3, 256 channels, one image of 124x124.
- jax 26266: grouped and dilated: depthwise, 1-D, 1024 steps, a batch of 32.
- xla 34273 (and jax 31662): the gradient of a 3-D transposed convolution of stride 2 from 64
  channels to 1, 64x64x32, bfloat16, in its parameters.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax

from cnnlab.bench.models.program import Program

KERNEL, CHANNELS, DILATION = 8, 64, 8  # of jax 26266, which goes through several


def _energy(outputs: Any, labels: Any) -> Any:
    return (outputs * outputs).mean()


def _jax23713(seed: int) -> Program:
    from flax import nnx

    from cnnlab.bench.models.flax_networks import functional

    layer = nnx.Conv(256, 256, (3, 3), padding=1, feature_group_count=256, rngs=nnx.Rngs(seed))
    inputs = jr.uniform(jr.key(seed), (1, 124, 124, 256))
    return Program(*functional(layer), inputs, None, _energy)


def _jax26266(seed: int) -> Program:
    keys = jr.split(jr.key(seed))
    kernel = jr.normal(keys[0], (KERNEL, 1, CHANNELS))
    inputs = jr.normal(keys[1], (32, 1024, CHANNELS))

    def apply(kernel: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        outputs = lax.conv_general_dilated(
            inputs,
            kernel,
            window_strides=(1,),
            padding="SAME",
            rhs_dilation=(DILATION,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=CHANNELS,
        )
        return outputs, state

    return Program(kernel, (), apply, inputs, None, _energy)


def _xla34273(seed: int) -> Program:
    layer = eqx.nn.ConvTranspose(
        3, 64, 1, 3, 2, output_padding=1, padding=1, dtype=jnp.bfloat16, key=jr.key(seed)
    )
    parameters, static = eqx.partition(layer, eqx.is_inexact_array)
    inputs = jr.normal(jr.key(seed), (1, 64, 64, 64, 32), jnp.bfloat16)

    def apply(parameters: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        return jax.vmap(eqx.combine(parameters, static))(inputs), state

    mean = lambda outputs, labels: outputs.mean()  # the report's own loss
    return Program(parameters, (), apply, inputs, None, mean)


def build(name: str, batch: int, size: int, seed: int) -> Program:
    """A report's layer; it has its own batch and size."""
    return {"jax23713": _jax23713, "jax26266": _jax26266, "xla34273": _xla34273}[name](seed)
