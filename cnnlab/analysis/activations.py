"""Activation maps of a network (A 3.6), and what a convolution's should be, computed apart."""

import math
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import signal

from cnnlab import nn, ops
from cnnlab.analysis.equivariance import equivariance_errors
from cnnlab.analysis.fields import Field, fields
from cnnlab.models import Classifier


class ActivationMaps(NamedTuple):
    """What a network gives for a batch: the first layer's outputs, before normalisation and
    activation, `(n, *out, c)`, and the outputs of every stage of its backbone."""

    first: Float[Array, "n ..."]
    stages: tuple[Float[Array, "n ..."], ...]


@eqx.filter_jit
def activation_maps(
    model: Classifier, state: eqx.nn.State, xs: Float[Array, "n ..."]
) -> ActivationMaps:
    """The maps of a network in inference mode.

    **Arguments:** `model`, with a backbone of stages, such as `VGG`; `xs`, normalised,
    `(n, *spatial, c)`.
    """
    model = eqx.nn.inference_mode(model)
    first, found = first_layer(model)(xs), []
    for stage in model.backbone.stages:
        xs, state = stage(xs, state)
        found.append(xs)
    return ActivationMaps(first, tuple(found))


def first_layer(model: Classifier) -> nn.Layer:
    """The layer that sees the image: the first of the backbone's first stage."""
    return model.backbone.stages[0].layers[0]


def correlation_maps(layer: nn.Conv, x: Float[Array, "*spatial c"]) -> Float[np.ndarray, "..."]:
    """`(*out, c_out)`: the correlation of an image with each of a convolution's filters (A 3.5),
    plus the bias, in float64 by `scipy.signal.correlate`: nothing of cnnlab's algorithms."""
    *spatial, _ = x.shape
    pads = layer.window.at(spatial).pads
    mode = ops.PADDING_MODES[layer.padding_mode]
    wide = np.pad(np.asarray(x, np.float64), (*pads, (0, 0)), mode=mode)
    *_, group, channels = layer.weight.shape
    filters = np.zeros((*layer.window.extent, group, channels))
    filters[tuple(slice(None, None, d) for d in layer.dilation)] = np.asarray(layer.weight)
    if layer.flip:
        filters = np.flip(filters, tuple(range(len(spatial))))
    every = tuple(slice(None, None, s) for s in layer.stride)
    maps = []
    for z in range(channels):
        start = z // (channels // layer.groups) * group
        terms = [
            signal.correlate(wide[..., start + d], filters[..., d, z], "valid", "direct")
            for d in range(group)
        ]
        bias = 0.0 if layer.bias is None else float(layer.bias[z])
        maps.append(sum(terms, np.zeros(()))[every] + bias)
    return np.stack(maps, -1)


def template_errors(layer: nn.Conv, *, seed: int) -> tuple[int, int]:
    """Each filter, written into an empty image at a random place: for how many the filter's own map
    is not largest there (A 3.6: how strongly a filter responds at each location), and of how many.

    A filter's product with a patch is largest, among patches of one norm, for the filter itself
    (Cauchy and Schwarz). Of a grouped convolution, its group's channels are written.
    """
    rng = np.random.default_rng(seed)
    weight = np.asarray(layer.weight)
    *kernel, group, channels = weight.shape
    if layer.flip:
        weight = np.flip(weight, tuple(range(len(kernel))))
    extent = layer.window.extent
    side = [2 * s * e + 3 * e for s, e in zip(layer.stride, extent, strict=True)]
    field = fields(layer, (*side, layer.in_channels))[-1]
    images, places = np.zeros((channels, *side, layer.in_channels), np.float32), []
    for z in range(channels):
        low = [-(-e // s) for s, e in zip(layer.stride, extent, strict=True)]
        place = tuple(int(n + rng.integers(0, 2)) for n in low)
        at = [lower for lower, _ in field.interval(place)]
        window = tuple(
            slice(a, a + e, d) for a, e, d in zip(at, extent, layer.dilation, strict=True)
        )
        start = z // (channels // layer.groups) * group
        images[(z, *window, slice(start, start + group))] = weight[..., z]
        places.append(place)
    maps = np.asarray(layer(jnp.asarray(images)))
    found = [np.unravel_index(maps[z, ..., z].argmax(), maps.shape[1:-1]) for z in range(channels)]
    return sum(tuple(map(int, a)) != b for a, b in zip(found, places, strict=True)), channels


def stage_fields(model: Classifier, in_shape: tuple[int, ...], state: eqx.nn.State) -> list[Field]:
    """The receptive field of each stage of the backbone."""
    found = fields(model.backbone, in_shape, state)
    last = {}
    for field in found:
        last[field.path.split(".")[0]] = field
    return list(last.values())


def layout_errors(
    model: Classifier,
    state: eqx.nn.State,
    image: Float[Array, "*spatial c"],
    background: Float[Array, " c"],
    steps: int = 1,
) -> list[float]:
    """Of every stage: how far its maps are from moving with the image, relative to the largest
    value: the image lies on a wide background and moves by `steps` positions of the last stage.

    Positions that see the border of the background take no part.
    """
    *spatial, _ = image.shape
    *_, last = found = stage_fields(model, tuple(image.shape), state)
    wide = [-(-(n + 3 * size) // s) * s + steps * s for n, size, s in
            zip(spatial, last.size, last.stride, strict=True)]  # fmt: skip
    canvas = jnp.broadcast_to(background, (*wide, image.shape[-1]))
    corner = [(w - n) // 2 for w, n in zip(wide, spatial, strict=True)]
    inside = tuple(slice(c, c + n) for c, n in zip(corner, spatial, strict=True))
    canvas = canvas.at[inside].set(image)[None]
    offset = [steps * s for s in last.stride]
    errors = []
    for i, field in enumerate(found):
        margin = max(math.ceil(n / s) for n, s in zip(field.size, field.stride, strict=True))
        maps = lambda x, i=i: activation_maps(model, state, x).stages[i]
        error = equivariance_errors(maps, canvas, offset, stride=field.stride[0], margin=margin)
        errors.append(error.interior)
    return errors
