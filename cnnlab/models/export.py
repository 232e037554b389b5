"""A model as StableHLO: a file that runs without cnnlab, on any platform, for any batch size."""

from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from cnnlab.files import replace_file

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export(
    model: Callable[..., PyTree],
    shape: tuple[int, ...],
    path: str | Path,
    state: eqx.nn.State | None = None,
    *,
    dtype: DTypeLike = jnp.float32,
) -> jax.export.Exported:
    """Write `x -> model(x)`, in inference mode, with the batch left open.

    The convolutions are portable ones: where a compiled one was asked for, or `auto`, XLA's own.
    `jax.export.deserialize(bytearray(path.read_bytes())).call(x)` runs it.

    **Arguments:**

    - `model`: a layer, backbone, head or classifier, with its arrays; or a function of `x`.
    - `shape`: of one input, `(*spatial, c)`; the program takes `(batch, *spatial, c)`.
    - `state`: the model's state, where it has one: `model(x, state)` gives `(result, state)`.

    **Returns:** what was written.

    **Raises:** `OSError`: the file cannot be written.
    """
    model = eqx.nn.inference_mode(model)

    def run(x: Array) -> PyTree:
        return model(x) if state is None else model(x, state)[0]

    (batch,) = jax.export.symbolic_shape("batch")
    like = jax.ShapeDtypeStruct((batch, *shape), dtype)
    exported = jax.export.export(jax.jit(run), platforms=PLATFORMS)(like)
    content = exported.serialize(vjp_order=0)
    replace_file(Path(path), lambda file: file.write(content))
    return exported
