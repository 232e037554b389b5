"""Networks as one writes them with Equinox: channels first, one example at a time under `vmap`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from equinox import nn

from cnnlab.bench.models.program import Program

CLASSES = 1000


def _norm(channels: int) -> nn.BatchNorm:
    return nn.BatchNorm(channels, axis_name="batch", mode="batch")


class _Unit(eqx.Module):
    """A convolution, batch normalisation and, unless `linear`, a ReLU."""

    conv: nn.Conv2d
    norm: nn.BatchNorm
    linear: bool = eqx.field(static=True)

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, linear=False, key):
        padding = kernel // 2
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, use_bias=False, key=key)
        self.norm = _norm(c_out)
        self.linear = linear

    def __call__(self, x, state):
        x, state = self.norm(self.conv(x), state)
        return x if self.linear else jax.nn.relu(x), state


class _Block(eqx.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, fig. 5, left)."""

    first: _Unit
    second: _Unit
    shortcut: _Unit | None

    def __init__(self, c_in: int, c_out: int, stride: int, *, key):
        keys = jr.split(key, 3)
        self.first = _Unit(c_in, c_out, 3, stride, key=keys[0])
        self.second = _Unit(c_out, c_out, 3, linear=True, key=keys[1])
        change = stride != 1 or c_in != c_out
        self.shortcut = _Unit(c_in, c_out, 1, stride, linear=True, key=keys[2]) if change else None

    def __call__(self, x, state):
        y, state = self.first(x, state)
        y, state = self.second(y, state)
        if self.shortcut is not None:
            x, state = self.shortcut(x, state)
        return jax.nn.relu(x + y), state


class _ResNet(eqx.Module):
    """ResNet-18."""

    stem: _Unit
    blocks: list[_Block]
    head: nn.Linear

    def __init__(self, key):
        keys = iter(jr.split(key, 10))
        self.stem = _Unit(3, 64, 7, 2, key=next(keys))
        plan = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        self.blocks = []
        for c_in, c_out, stride in plan:
            self.blocks.append(_Block(c_in, c_out, stride, key=next(keys)))
            self.blocks.append(_Block(c_out, c_out, 1, key=next(keys)))
        self.head = nn.Linear(512, CLASSES, key=next(keys))

    def __call__(self, x, state):
        x, state = self.stem(x, state)
        x = nn.MaxPool2d(3, 2, padding=1)(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.head(x.mean((1, 2))), state


class _UNet(eqx.Module):
    """Four levels of 32 to 256 channels, a class for each pixel (Ronneberger et al. 2015)."""

    down: list[tuple[_Unit, _Unit]]
    up: list[nn.ConvTranspose2d]
    join: list[tuple[_Unit, _Unit]]
    head: nn.Conv2d

    def __init__(self, key):
        keys = iter(jr.split(key, 18))
        widths = (32, 64, 128, 256)
        pair = lambda a, b: (_Unit(a, b, 3, key=next(keys)), _Unit(b, b, 3, key=next(keys)))
        self.down = [pair(a, b) for a, b in zip((3, *widths), widths, strict=False)]
        steps = [(256, 128), (128, 64), (64, 32)]
        self.up = [nn.ConvTranspose2d(a, b, 2, 2, key=next(keys)) for a, b in steps]
        self.join = [pair(a, b) for a, b in steps]
        self.head = nn.Conv2d(32, 8, 1, key=next(keys))

    def __call__(self, x, state):
        kept = []
        for level, (first, second) in enumerate(self.down):
            x = nn.MaxPool2d(2, 2)(x) if level else x
            x, state = first(x, state)
            x, state = second(x, state)
            kept.append(x)
        for up, (first, second), beside in zip(self.up, self.join, kept[-2::-1], strict=True):
            x, state = first(jnp.concatenate([beside, up(x)]), state)
            x, state = second(x, state)
        return self.head(x), state


class _Volumes(eqx.Module):
    """3x3x3 convolutions of 16 to 64 channels on volumes, group normalisation, maxima of 2x2x2."""

    convs: list[nn.Conv3d]
    norms: list[nn.GroupNorm]
    head: nn.Linear

    def __init__(self, key):
        keys = iter(jr.split(key, 7))
        pairs = ((1, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64))
        self.convs = [
            nn.Conv3d(a, b, 3, padding=1, use_bias=False, key=next(keys)) for a, b in pairs
        ]
        self.norms = [nn.GroupNorm(8, b) for _, b in pairs]
        self.head = nn.Linear(64, 10, key=next(keys))

    def __call__(self, x, state):
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = jax.nn.relu(norm(conv(x)))
            x = nn.MaxPool3d(2, 2)(x) if i % 2 else x
        return self.head(x.mean((1, 2, 3))), state


class _WaveNet(eqx.Module):
    """Ten causal gated layers, dilations 1 to 512, a class for each step (van den Oord 2016)."""

    stem: nn.Conv1d
    gates: list[nn.Conv1d]
    residual: list[nn.Conv1d]
    skip: list[nn.Conv1d]
    head: list[nn.Conv1d]

    def __init__(self, key):
        keys = iter(jr.split(key, 33))
        causal = lambda c_in, c_out, dilation: nn.Conv1d(
            c_in, c_out, 2, padding=((dilation, 0),), dilation=dilation, key=next(keys)
        )
        self.stem = causal(1, 32, 1)
        self.gates = [causal(32, 64, 2**i) for i in range(10)]
        self.residual = [nn.Conv1d(32, 32, 1, key=next(keys)) for _ in range(10)]
        self.skip = [nn.Conv1d(32, 64, 1, key=next(keys)) for _ in range(10)]
        self.head = [nn.Conv1d(64, n, 1, key=next(keys)) for n in (64, 256)]

    def __call__(self, x, state):
        x, total = self.stem(x), jnp.zeros(())
        for gate, residual, skip in zip(self.gates, self.residual, self.skip, strict=True):
            a, b = jnp.split(gate(x), 2)
            y = jnp.tanh(a) * jax.nn.sigmoid(b)
            x, total = x + residual(y), total + skip(y)
        return self.head[1](jax.nn.relu(self.head[0](jax.nn.relu(total)))), state


def build(name: str, batch: int, size: int, seed: int) -> Program:
    """A network on images of `size` by `size`; `Volumes` on cubes of half of it, `WaveNet` on 64
    times as many steps."""
    network, shape = {
        "ResNet": (_ResNet, (3, size, size)),
        "UNet": (_UNet, (3, size, size)),
        "Volumes": (_Volumes, (1, *(size // 2,) * 3)),
        "WaveNet": (_WaveNet, (1, 64 * size)),
    }[name]
    model, state = nn.make_with_state(network)(jr.key(seed))
    parameters, static = eqx.partition(model, eqx.is_inexact_array)

    def apply(parameters: Any, state: Any, inputs: Any, training: bool) -> tuple[Any, Any]:
        called = eqx.nn.inference_mode(eqx.combine(parameters, static), value=not training)
        each = jax.vmap(called, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        outputs, state = each(inputs, state)
        return jnp.moveaxis(outputs, 1, -1), state

    generator = np.random.default_rng(seed)
    inputs = jnp.asarray(generator.standard_normal((batch, *shape), np.float32))
    outputs = jax.eval_shape(lambda: apply(parameters, state, inputs, False)[0]).shape
    labels = jnp.asarray(generator.integers(0, outputs[-1], outputs[:-1]))
    return Program(parameters, state, apply, inputs, labels)
