"""Random stacks of linear convolutions of whole numbers, and the single ones they are."""

import itertools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cnnlab.analysis.composition import LinearConv, apply_linear, compose_stack, unpadded

# What the maps in the middle are padded with, if at all.
PADDINGS = {"valid": "zeros", "circular": "circular", "same": "zeros"}


# Of the picture: two layers of 8 pixels, one channel.
PICTURE = ([1, 2, 3], [1, 1, 1])


# Integers up to here are exact in float32, and so is every sum of them, in any order.
EXACT = 2**24


LARGEST_INPUT = 4


# Depth, kernel size, stride and dilation at most, by rank.
LARGEST = {1: (4, 5, 3, 3), 2: (3, 3, 2, 2)}


def random_case(rng: np.random.Generator) -> tuple[list[LinearConv], Array]:
    """Two to four layers of integer weights, none of them 0, and biases, without padding; such that
    no sum on the way exceeds `EXACT`. And inputs of integers."""
    largest = EXACT
    while largest >= EXACT:
        rank = int(rng.integers(1, 3))
        depth, kernel, stride, dilation = LARGEST[rank]
        channels = rng.integers(1, 4, int(rng.integers(2, depth + 1)) + 1)
        some = lambda most, rank=rank: tuple(int(n) for n in rng.integers(1, most + 1, rank))
        layers, largest = [], LARGEST_INPUT
        for c_in, c_out in itertools.pairwise(channels):
            weights = rng.choice([-2, -1, 1, 2], (*some(kernel), c_in, c_out))
            bias = rng.integers(-2, 3, c_out)
            layers.append(LinearConv(weights, bias, some(stride), some(dilation), ((0, 0),) * rank))
            # The composed kernel's sums are bounded by the same product.
            largest = largest * np.abs(weights).reshape(-1, c_out).sum(0).max() + 2
    composed = compose_stack(layers)
    # Divisible by the strides, as a circular map must be, and room for some outputs.
    windows = zip(composed.extent, composed.stride, strict=True)
    sizes = [s * (-(-e // s) + int(rng.integers(1, 4))) for e, s in windows]
    shape = (2, *sizes, layers[0].kernel.shape[-2])
    x = rng.integers(-LARGEST_INPUT, LARGEST_INPUT + 1, shape)
    return layers, jnp.asarray(x, jnp.float32)


def against_composed(layers: list[LinearConv], x: Array) -> list[dict[str, Any]]:
    """A stack, for each kind of padding: how many outputs there are, how many differ from the
    composed layer's, and (`inside`) how many of those read no padding of a map in the middle."""
    sizes = x.shape[1:-1]
    same = padded(layers, sizes)
    stacks = {padding: layers if padding == "valid" else same for padding in PADDINGS}
    both = lambda x, stack, mode: (run(stack, x, mode), apply_linear(compose_stack(stack), x, mode))
    outputs = jax.jit(lambda x: {p: both(x, stack, PADDINGS[p]) for p, stack in stacks.items()})(x)
    found = []
    for padding in PADDINGS:  # jit sorts keys
        differ = np.not_equal(*outputs[padding])
        inside = differ[:, unpadded(same, sizes)] if padding == "same" else differ
        found.append({
            "padding": padding, "outputs": differ.size, "differ": int(differ.sum()),
            "inside": inside.size, "differ_inside": int(inside.sum()),
        })  # fmt: skip
    return found


def with_relu(layers: list[LinearConv], x: Array) -> dict[str, Any]:
    """Of the stack with ReLUs, at how many outputs `f(x) + f(-x)` is not `2 f(0)`, which it is for
    every affine `f`; and whether all three are the same, as where a layer's units are all off."""
    relu = jax.jit(lambda x: run(layers, x, "zeros", jax.nn.relu))
    there, opposite, zero = relu(x), relu(-x), relu(jnp.zeros_like(x))
    constant = (there == zero).all() & (opposite == zero).all()
    return {"bent": int((there + opposite != 2 * zero).sum()), "constant": bool(constant)}


def padded(layers: list[LinearConv], sizes: tuple[int, ...]) -> list[LinearConv]:
    """The layers with the padding that "SAME" means for an input of `sizes`."""
    found = []
    for layer in layers:
        pads = replace(layer.window, padding="SAME").at(sizes).pads
        found.append(layer._replace(padding=pads))
        sizes = found[-1].out(sizes)
    return found


def run(layers: list[LinearConv], x: Array, mode: str, activation: Any = lambda x: x) -> Array:
    """The layers one after another, with an activation between them."""
    *before, last = layers
    for layer in before:
        x = activation(apply_linear(layer, x, mode))
    return apply_linear(last, x, mode)


def zero_padded(kernel: np.ndarray) -> LinearConv:
    """A layer with a kernel `(3, c_in, c_out)` and without a bias."""
    return LinearConv(kernel, np.zeros(kernel.shape[-1]), (1,), (1,), ((1, 1),))


def two_matrices(pixels: int) -> dict[str, list[list[float]]]:
    """Two zero-padded layers of one channel as a matrix, and that of the layer composed of them."""
    layers = [zero_padded(np.array(weights, float)[:, None, None]) for weights in PICTURE]
    matrix = lambda stack: run(stack, jnp.eye(pixels)[..., None], "zeros")[..., 0].T.tolist()
    return {"stack": matrix(layers), "composed": matrix([compose_stack(layers)])}


def uneven_diagonals(rng: np.random.Generator) -> int:
    """How many neighbours on the diagonals of the matrix of a random stack of zero-padded layers
    (1-D, stride 1) differ: none if any single zero-padded convolution is that stack."""
    channels, pixels = rng.integers(1, 4, 3), 8
    kernels = [rng.choice([-2, -1, 1, 2], (3, *pair)) for pair in itertools.pairwise(channels)]
    c_in = int(channels[0])
    impulses = jnp.eye(pixels * c_in).reshape(-1, pixels, c_in)
    blocks = np.asarray(run([zero_padded(kernel) for kernel in kernels], impulses, "zeros"))
    blocks = blocks.reshape(pixels, c_in, pixels, -1)
    # blocks[j, :, i]: what input pixel j gives to output pixel i.
    return int((blocks[1:, :, 1:] != blocks[:-1, :, :-1]).sum())
