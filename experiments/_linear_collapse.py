"""Measurements of `linear_collapse`: random integer stacks, and trained ones."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from omegaconf import DictConfig

from cnnlab import nn, ops
from cnnlab.analysis.composition import LinearConv, apply, compose_all, layer_of, unpadded
from cnnlab.config import compose
from cnnlab.lab.study import Study, Trained

# Integers up to here are exact in float32, and so is every sum of them, in any order.
EXACT = 2**24
LARGEST_INPUT = 4
# Depth, kernel size, stride and dilation at most, by rank.
_LARGEST = {1: (4, 5, 3, 3), 2: (3, 3, 2, 2)}
MODES = {"valid": "zeros", "circular": "circular", "same": "zeros"}


def random_stack(rng: np.random.Generator) -> list[LinearConv]:
    """Two to four layers of integer weights, none of them 0, and biases, without padding; such that
    no sum on the way exceeds `EXACT`."""
    while True:
        rank = int(rng.integers(1, 3))
        depth, kernel, stride, dilation = _LARGEST[rank]
        channels = rng.integers(1, 4, int(rng.integers(2, depth + 1)) + 1)
        some = lambda most, rank=rank: tuple(int(n) for n in rng.integers(1, most + 1, rank))
        layers, largest = [], LARGEST_INPUT
        for c_in, c_out in itertools.pairwise(channels):
            weights = rng.choice([-2, -1, 1, 2], (*some(kernel), c_in, c_out))
            bias = rng.integers(-2, 3, c_out)
            layers.append(LinearConv(weights, bias, some(stride), some(dilation), ((0, 0),) * rank))
            # The composed kernel's sums are bounded by the same product.
            largest = largest * np.abs(weights).reshape(-1, c_out).sum(0).max() + 2
        if largest < EXACT:
            return layers


def stack_against_composed(rng: np.random.Generator) -> dict[str, Any]:
    """One random stack, for each kind of padding: how many outputs there are, how many differ from
    the composed layer's, and (`inside`) how many of those read no padding of a map in the middle.

    `nonlinear`: outputs of the stack with ReLUs for which `f(x) + f(-x)` is not `2 f(0)`, which it
    is for every affine `f`.
    """
    layers = random_stack(rng)
    composed = compose_all(layers)
    # Divisible by the strides, as a circular map must be, and room for some outputs.
    sizes = tuple(
        s * (-(-e // s) + int(rng.integers(1, 4)))
        for e, s in zip(composed.extent, composed.stride, strict=True)
    )
    shape = (2, *sizes, layers[0].kernel.shape[-2])
    x = jnp.asarray(rng.integers(-LARGEST_INPUT, LARGEST_INPUT + 1, shape), jnp.float32)
    same = _padded(layers, sizes)
    stacks = {"valid": layers, "circular": same, "same": same}

    @jax.jit
    def outputs(x: Array) -> dict[str, tuple[Array, Array]]:
        return {
            kind: (_run(stack, x, MODES[kind]), apply(compose_all(stack), x, MODES[kind]))
            for kind, stack in stacks.items()
        }

    found: dict[str, Any] = {
        "rank": composed.rank,
        "depth": len(layers),
        "kernel": list(composed.extent),
        "stride": list(composed.stride),
    }
    for kind, (stacked, single) in outputs(x).items():
        differ = np.asarray(stacked) != np.asarray(single)
        inside = np.ones(differ.shape[1:-1], bool)
        if kind == "same":
            inside = unpadded(same, sizes)
        part = differ[:, inside]
        found[kind] = {
            "outputs": differ.size,
            "differ": int(differ.sum()),
            "inside": part.size,
            "differ_inside": int(part.sum()),
        }
    relu = jax.jit(lambda x: _run(layers, x, "zeros", jax.nn.relu))
    excess = relu(x) + relu(-x) - 2 * relu(jnp.zeros_like(x))
    return {**found, "nonlinear": int((excess != 0).sum()), "relu_outputs": excess.size}


def _padded(layers: list[LinearConv], sizes: tuple[int, ...]) -> list[LinearConv]:
    """The layers with the padding that "SAME" means for an input of `sizes`."""
    padded = []
    for layer in layers:
        window = (layer.kernel.shape[: layer.rank], layer.stride, layer.dilation)
        layer = layer._replace(padding=ops.resolve_padding("SAME", sizes, *window))
        padded.append(layer)
        sizes = layer.out(sizes)
    return padded


def _run(layers: list[LinearConv], x: Array, mode: str, activation: Any = lambda x: x) -> Array:
    """The layers one after another, with an activation between them."""
    *before, last = layers
    for layer in before:
        x = activation(apply(layer, x, mode))
    return apply(last, x, mode)


def two_matrices(kernels: list[list[int]], pixels: int) -> dict[str, list[list[float]]]:
    """Two zero-padded layers of one channel as a matrix, and that of the layer composed of them."""
    layers = [
        LinearConv(np.array(k, float)[:, None, None], np.zeros(1), (1,), (1,), ((1, 1),))
        for k in kernels
    ]
    impulses = jnp.eye(pixels)[..., None]
    columns = {
        "stack": _run(layers, impulses, "zeros"),
        "composed": apply(compose_all(layers), impulses),
    }
    return {name: np.asarray(y)[..., 0].T.tolist() for name, y in columns.items()}


def uneven_diagonals(rng: np.random.Generator) -> int:
    """How many neighbours on the diagonals of the matrix of a random stack of zero-padded layers
    (1-D, stride 1) differ: none if any single zero-padded convolution is that stack."""
    channels = rng.integers(1, 4, 3)
    layers = [
        LinearConv(
            rng.choice([-2, -1, 1, 2], (3, c_in, c_out)), np.zeros(c_out), (1,), (1,), ((1, 1),)
        )
        for c_in, c_out in itertools.pairwise(channels)
    ]
    pixels, c_in = 8, int(channels[0])
    impulses = jnp.eye(pixels * c_in).reshape(-1, pixels, c_in)
    blocks = np.asarray(_run(layers, impulses, "zeros")).reshape(pixels, c_in, pixels, -1)
    # blocks[j, :, i]: what input pixel j gives to output pixel i.
    return int((blocks[1:, :, 1:] != blocks[:-1, :, :-1]).sum())


class Composed(eqx.nn.StatefulLayer):
    """One convolution in place of a backbone, and the backbone's own head."""

    kernel: Array
    bias: Array
    stride: tuple[int, ...] = eqx.field(static=True)
    head: Any

    def __call__(self, x: Array, state: Any, *, key: Any = None) -> tuple[Array, Any]:
        """`(*batch, *spatial, c)` to class scores."""
        y = ops.conv(x, self.kernel, stride=self.stride, padding="VALID", bias=self.bias)
        return self.head(y, state, key=key)


def collapsed(model: Any) -> Composed:
    """The network with its backbone, a stack of unpadded linear convolutions, as one of them."""
    convs = [
        layer for s in model.backbone.stages for layer in s.layers if isinstance(layer, nn.Conv)
    ]
    spatial = model.backbone.in_shape[:-1]
    layers = []
    for conv in convs:
        layers.append(layer_of(conv, spatial))
        spatial = layers[-1].out(spatial)
    one = compose_all(layers)
    kernel, bias = (jnp.asarray(a, jnp.float32) for a in (one.kernel, one.bias))
    return Composed(kernel, bias, one.stride, model.head)


class Networks:
    """The trained stacks of one activation: built when the first of them is wanted.

    **Raises:** `ConfigError` for a setting that training refuses.
    """

    def __init__(self, cfg: DictConfig, activation: str) -> None:
        plan = ",".join(map(str, cfg.plan))
        self._linear = activation == "identity"
        self._overrides = [
            *("backbone=vgg", f"backbone.plan=[{plan}]", "backbone.pool=stride"),
            *(f"backbone.kernel_size={cfg.kernel_size}", f"backbone.activation={activation}"),
            *("conv.padding=VALID", "norm=none", "head=linear", "head.pool=flatten"),
            *(f"data={cfg.dataset}", "optimizer=adam", f"optimizer.lr={cfg.lr}"),
            *("epochs=null", f"steps={cfg.steps}", f"batch_size={cfg.batch_size}"),
        ]
        compose(self._overrides)
        self._study: Study | None = None

    def measure(self, seed: int) -> dict[str, Any]:
        """Test accuracy; of a linear stack also the largest change of a probability, and the number
        of changed predictions, when its backbone is replaced by the composed convolution."""
        if self._study is None:
            self._study = Study(self._overrides)
        trained = self._study.train(seed)
        found = self._study.evaluate(trained)
        row: dict[str, Any] = {"accuracy": found.accuracy, "parameters": self._study.parameters}
        if self._linear:
            one = collapsed(trained.model)
            other = self._study.evaluate(Trained(one, trained.state, 0.0, 0.0))
            row |= {
                "kernel": list(one.kernel.shape),
                "stride": list(one.stride),
                "change": float(np.abs(found.probabilities - other.probabilities).max()),
                "predictions": len(found.label),
                "changed": int((found.predicted != other.predicted).sum()),
            }
        return row
