"""Layers and backbones on this device against float64 on the host: values and gradients."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from cnnlab import models, nn
from cnnlab.train.step import cast, scores
from experiments.device import PRECISIONS, Job, cells, table

Make = Callable[[PRNGKeyArray], eqx.Module]
SMOOTH = {"activation": "gelu"}  # no edge, on either side of which a gradient is another
IMAGE, SEQUENCE = (9, 7, 4), (64, 4)
SIDES = IMAGE[:-1]
LAYERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "Conv2d": (IMAGE, lambda key: nn.Conv2d(4, 6, 3, 2, 1, (1, 2), 2, key=key)),
    "Conv3d": ((5, *IMAGE), lambda key: nn.Conv3d(4, 6, 3, key=key)),
    "ConvTranspose2d": (IMAGE, lambda key: nn.ConvTranspose2d(4, 6, 3, 2, 1, key=key)),
    "SeparableConv2d": (IMAGE, lambda key: nn.SeparableConv2d(4, 6, 3, 2, key=key)),
    "LocallyConnected2d": (IMAGE, lambda key: nn.LocallyConnected2d(4, 6, 3, SIDES, 2, key=key)),
    "FullyConnected2d": (IMAGE, lambda key: nn.FullyConnected2d(4, 2, SIDES, 2, key=key)),
    "GroupConv2d": (IMAGE, lambda key: nn.GroupConv2d(4, 2, 3, key=key)),
    "LongConv1d": (SEQUENCE, lambda key: nn.LongConv1d(4, key=key)),
    "Gated": (SEQUENCE, lambda key: nn.Gated(4, key=key)),
    "MaxPool2d": (IMAGE, lambda key: nn.MaxPool2d(3, 2)),
    "AvgPool2d": (IMAGE, lambda key: nn.AvgPool2d(3, 2)),
    "BlurPool2d": (IMAGE, lambda key: nn.BlurPool2d(2)),
    "BatchNorm": (IMAGE, lambda key: nn.BatchNorm(4)),
    "GroupNorm": (IMAGE, lambda key: nn.GroupNorm(4, 2)),
    "LayerNorm": (IMAGE, lambda key: nn.LayerNorm(4)),
    "VGG": (
        (8, 8, 3),
        lambda key: models.VGG(
            (8, 8, 3), [8, "M", 8], norm=nn.BatchNorm, pool="avg", **SMOOTH, key=key
        ),
    ),
    "ResNet": ((8, 8, 3), lambda key: models.ResNet((8, 8, 3), [8], **SMOOTH, key=key)),
    "UNet": ((8, 8, 3), lambda key: models.UNet((8, 8, 3), [8, "M", 8], **SMOOTH, key=key)),
    "SequenceModel": (SEQUENCE, lambda key: models.SequenceModel(SEQUENCE, width=8, key=key)),
}
# Of whole arrays, as sums of several layers: an error of more is one of the code's.
LIMITS = {"float32": 1e-4, "bfloat16": 0.1}


def part(job: Job) -> list[str]:
    """Each in float32 at the highest precision and in bfloat16; several at a time, as most of it
    is compiling."""
    names = list(LAYERS)[:2] if job.small else list(LAYERS)
    run = lambda name: cells(functools.partial(_errors, name), job, len(PRECISIONS))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = [[name, *found] for name, found in zip(names, threads.map(run, names), strict=True)]
    about = "Error of the worst of result and gradients, in length relative to what float64 gives."
    return [about, "", *table(["", *PRECISIONS], rows)]


def _errors(name: str, job: Job) -> list[str]:
    del job
    shape, make = LAYERS[name]
    with jax.default_device(jax.devices("cpu")[0]):  # which has all types
        layer, state = eqx.nn.make_with_state(make)(jr.key(0))
    x, shown = np.random.default_rng(0).standard_normal((4, *shape)), []
    for dtype, precision in (("float32", "highest"), ("bfloat16", "default")):
        narrow = cast((layer, jnp.asarray(x)), dtype)
        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            wide = jax.tree.map(_wide, (*narrow, state))
            wanted = _run(*wide)
        with jax.default_matmul_precision(precision):
            found = _run(*narrow, state)
        worst = max(map(_error, found, wanted))
        shown.append(f"{worst:.0e}" + ("" if worst <= LIMITS[dtype] else " **wrong**"))
    return shown


def _wide(leaf: Any) -> Any:
    return np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf


def _run(layer: eqx.Module, x: jax.Array, state: eqx.nn.State) -> list[np.ndarray]:
    """The result, and the gradients in all weights and the input of a sum of it."""
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    state = jax.tree.map(lambda leaf: leaf, state)  # may be used once

    @jax.jit
    def gradients(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
        def output(params: Any, x: jax.Array) -> jax.Array:
            return scores(eqx.combine(params, static), x, state, key=jr.key(2))[0]

        y, pull = jax.vjp(output, params, x)
        weights = np.random.default_rng(1).integers(-2, 3, y.shape)  # any type holds them
        return y, pull(jnp.asarray(weights, y.dtype))

    return [np.asarray(a, np.float64) for a in jax.tree.leaves(gradients(params, x))]


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    error = float(np.linalg.norm(found - wanted))
    return error / (float(np.linalg.norm(wanted)) or 1.0) if np.isfinite(error) else float("inf")
