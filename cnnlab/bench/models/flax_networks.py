"""Networks as one writes them with Flax: a ResNet-18 in `linen`, a ConvNeXt-T in `nnx`.

The first follows the form of Flax's own ImageNet example; both have torchvision's layers.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from cnnlab.bench.models.program import Program, images

CLASSES = 1000


class _Block(linen.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, fig. 5, left)."""

    filters: int
    stride: int
    training: bool

    @linen.compact
    def __call__(self, x: Any) -> Any:
        conv = functools.partial(linen.Conv, use_bias=False)
        norm = functools.partial(linen.BatchNorm, use_running_average=not self.training)
        y = linen.relu(norm()(conv(self.filters, (3, 3), self.stride)(x)))
        y = norm()(conv(self.filters, (3, 3))(y))
        if x.shape != y.shape:
            x = norm()(conv(self.filters, (1, 1), self.stride)(x))
        return linen.relu(x + y)


class _ResNet(linen.Module):
    training: bool

    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Conv(64, (7, 7), 2, padding=3, use_bias=False)(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not self.training)(x))
        x = linen.max_pool(x, (3, 3), (2, 2), padding="SAME")
        for stage, filters in enumerate((64, 128, 256, 512)):
            for block in range(2):
                stride = 2 if stage and not block else 1
                x = _Block(filters, stride, self.training)(x)
        return linen.Dense(CLASSES)(x.mean((1, 2)))


def _resnet(inputs: Any, seed: int) -> tuple[Any, Any, Any]:
    def apply(parameters: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        variables = {"params": parameters, **state}
        if not training:
            return _ResNet(False).apply(variables, inputs), state
        return _ResNet(True).apply(variables, inputs, mutable=["batch_stats"])

    made = jax.jit(_ResNet(False).init)(jax.random.key(seed), inputs)
    return made["params"], {"batch_stats": made["batch_stats"]}, apply


class _ConvNeXtBlock(nnx.Module):
    """Depthwise 7x7, normalisation, two pointwise layers (Liu et al. 2022, fig. 4)."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.depthwise = nnx.Conv(width, width, (7, 7), feature_group_count=width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.wide = nnx.Linear(width, 4 * width, rngs=rngs)
        self.narrow = nnx.Linear(4 * width, width, rngs=rngs)
        self.scale = nnx.Param(jnp.full(width, 1e-6))

    def __call__(self, x: Any) -> Any:
        y = self.narrow(nnx.gelu(self.wide(self.norm(self.depthwise(x))), approximate=False))
        return x + self.scale[...] * y


class _ConvNeXt(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        widths, depths = (96, 192, 384, 768), (3, 3, 9, 3)
        layers: list[Any] = [nnx.Conv(3, 96, (4, 4), 4, padding="VALID", rngs=rngs)]
        layers.append(nnx.LayerNorm(96, epsilon=1e-6, rngs=rngs))
        for before, width, depth in zip((96, *widths), widths, depths, strict=False):
            if width != before:
                layers.append(nnx.LayerNorm(before, epsilon=1e-6, rngs=rngs))
                layers.append(nnx.Conv(before, width, (2, 2), 2, padding="VALID", rngs=rngs))
            layers += [_ConvNeXtBlock(width, rngs) for _ in range(depth)]
        self.layers = nnx.List(layers)
        self.norm = nnx.LayerNorm(768, epsilon=1e-6, rngs=rngs)
        self.head = nnx.Linear(768, CLASSES, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x.mean((1, 2))))


def _convnext(inputs: Any, seed: int) -> tuple[Any, Any, Any]:
    return functional(_ConvNeXt(nnx.Rngs(seed)))


def functional(model: Any) -> tuple[Any, Any, Any]:
    """The parameters, other state and `apply` of a module of `nnx`."""
    graph, parameters, state = nnx.split(model, nnx.Param, ...)

    def apply(parameters: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        called = nnx.merge(graph, parameters, state)
        called.train() if training else called.eval()
        outputs = called(inputs)
        return outputs, nnx.split(called, nnx.Param, ...)[2]

    return parameters, state, apply


def build(name: str, batch: int, size: int, seed: int) -> Program:
    """`ResNet18` or `ConvNeXt` on images of `size` by `size`."""
    inputs, labels = images(batch, (size, size, 3), CLASSES, seed)
    parameters, state, apply = {"ResNet18": _resnet, "ConvNeXt": _convnext}[name](inputs, seed)
    return Program(parameters, state, apply, inputs, labels)
