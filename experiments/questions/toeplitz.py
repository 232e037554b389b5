"""The matrices of A 1.5, 2.5 and 3.3: a dense, a locally connected and a convolutional layer."""

from collections.abc import Iterator
from typing import Annotated, Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab, nn, ops
from cnnlab.analysis.jacobian import jacobian_matrix
from cnnlab.bench.geometries import random_problem
from cnnlab.lab import Cells, Count, Records, Table, Verdict

Matrices = dict[str, list[list[float]]]
IMAGE = (7, 6, 1)
ROUNDING = 1e-5  # of float32, in transforms
# Weights as numbers that no sum of others makes: Wij is 10 i + j, and W1, W2, W3 are 1, 2, 3.
PRINTED: Matrices = {
    "dense": [[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]],
    "locally connected": [[12, 13, 0, 0], [21, 22, 23, 0], [0, 31, 32, 33], [0, 0, 41, 42]],
    "locally connected, padded": [
        [11, 12, 13, 0, 0, 0], [0, 21, 22, 23, 0, 0], [0, 0, 31, 32, 33, 0], [0, 0, 0, 41, 42, 43]
    ],
    "convolution": [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3], [0, 0, 1, 2]],
}  # fmt: skip

question = lab.Question(
    "toeplitz",
    "What does a convolution look like as a matrix?",
    note="As printed, the chapter's 4-pixel equations lack the equality sign between h and W x.",
)


@question.measure(full={"geometries": 300})
def measure(
    cells: Cells,
    *,
    seed: int,
    geometries: Annotated[Count, "random convolutions: Jacobian against built matrix"] = 60,
    image: Annotated[
        tuple[int, int],
        "list of 2 whole numbers >= 1",
        "of the picture: the matrix of a 3x3 convolution of such an image",
    ] = (6, 6),
) -> dict[str, Any]:
    """The layers' Jacobians; random geometries against the built matrix; the picture's matrix."""
    kernel = np.random.default_rng(seed).integers(1, 9, (3, 3, 1, 1))
    picture = ops.toeplitz_matrix(jnp.asarray(kernel, jnp.float32), (*image, 1), padding="SAME")
    names = ("auto", *ops.algorithms((1, *IMAGE), (3, 3, 1, 1)))
    random = lambda geometry: jacobian_error(np.random.default_rng([seed, geometry]))
    return {
        "four_pixels": layer_jacobians(),
        "jacobians": cells.records("jacobian", random, geometry=range(geometries)),
        "blocks": [{"algorithm": name, "uneven": uneven_blocks(name, seed)} for name in names],
        "picture": np.asarray(picture).tolist(),
    }


def layer_jacobians() -> Matrices:
    """The Jacobian of each layer of 4 pixels, one channel, kernel size 3."""
    dense = nn.FullyConnected(1, 1, 1, (4,), use_bias=False, key=jr.key(0))
    rows = [[10 * i + j for j in (1, 2, 3, 4)] for i in (1, 2, 3, 4)]
    dense = eqx.tree_at(lambda layer: layer.weight, dense, jnp.array(rows, float).T)
    own = jnp.array([[10 * i + j for j in (1, 2, 3)] for i in (1, 2, 3, 4)], float)[..., None]
    shared = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    local = lambda padding: lambda x: ops.local_conv(x, own, window=3, padding=padding)
    layers = {
        "dense": (dense, 4),
        "locally connected": (local("SAME"), 4),
        "locally connected, padded": (local("VALID"), 6),
        "convolution": (lambda x: ops.conv(x, shared, padding="SAME"), 4),
    }
    jacobian = lambda layer, pixels: jacobian_matrix(layer, (pixels, 1)).tolist()
    return {name: jacobian(*layer) for name, layer in layers.items()}


def uneven_blocks(algorithm: str, seed: int) -> float:
    """Of the matrix T of a 3x3 convolution of an image, T[i, j, k, l] from pixel (k, l) to (i, j):
    the largest difference between an entry and the one a row, or a column, further on in both
    images, relative to the kernel's largest weight. 0 where all blocks, and what is in them, have
    constant diagonals."""
    kernel = jnp.asarray(np.random.default_rng(seed).integers(1, 9, (3, 3, 1, 1)), jnp.float32)
    convolution = lambda x: ops.conv(x[None], kernel, algorithm=algorithm)[0]
    t = jacobian_matrix(convolution, IMAGE).reshape(*IMAGE[:2], *IMAGE[:2])
    rows = np.abs(t[1:, :, 1:] - t[:-1, :, :-1])
    columns = np.abs(t[:, 1:, :, 1:] - t[:, :-1, :, :-1])
    return float(max(rows.max(), columns.max()) / kernel.max())


def jacobian_error(rng: np.random.Generator) -> dict[str, Any]:
    """A random convolution (any rank, stride, padding, dilation, groups), and the largest entry of
    the difference between its Jacobian and the matrix built from its kernel, relative to the
    kernel's largest weight."""
    p = random_problem("lax", rng)
    kernel = jnp.asarray(rng.standard_normal(p.kernel_shape), jnp.float32)
    geometry = {**p.window.arguments, "groups": p.groups}
    built = np.asarray(ops.toeplitz_matrix(kernel, p.x_shape[1:], **geometry))
    convolution = lambda x: ops.conv(x, kernel, algorithm="lax", **geometry)
    difference = np.abs(built - jacobian_matrix(convolution, p.x_shape[1:]))
    error = float(difference.max(initial=0) / jnp.abs(kernel).max())
    return {"convolution": str(p), "error": error}


@question.answer
def answer(blocks: Records) -> str:
    return (
        "A matrix with the kernel's weights along its diagonals, for an image block Toeplitz with "
        f"Toeplitz blocks, whichever of {len(blocks)} algorithms computes it."
    )


@question.claim(
    "A 1.5, 2.5, 3.3", "an entry of a layer's Jacobian that differs from the printed one"
)
def entries(four_pixels: Matrices) -> Verdict:
    """The matrices of a dense, a locally connected (also padded) and a convolutional layer of 4
    pixels are the printed ones."""
    differ = [np.not_equal(four_pixels[name], printed) for name, printed in PRINTED.items()]
    return lab.none_of(np.concatenate(differ, None).tolist(), "entries")


@question.claim(
    "A 3.3", "two entries of a diagonal of a one-channel convolution's matrix that differ"
)
def toeplitz(four_pixels: Matrices) -> Verdict:
    """The matrix of a convolution has constant values along each diagonal."""
    w = np.array(four_pixels["convolution"])
    return lab.none_of((w[:-1, :-1] != w[1:, 1:]).ravel().tolist(), "neighbours")


@question.claim(
    "A 3.3", "an algorithm whose matrix, for an image, has blocks that differ along a diagonal"
)
def blocks(blocks: Records) -> Verdict:
    """The matrix of an image's convolution is Toeplitz in blocks: along each diagonal the same
    block, and in a block along each diagonal the same value, for every algorithm that serves."""
    what = f"largest difference along a diagonal, relative, of {len(blocks)} algorithms"
    return lab.at_most(max(blocks["uneven"]), ROUNDING, what)


@question.claim("A 3.3", "a convolution whose Jacobian is not the matrix built from its kernel")
def linear(jacobians: Records) -> Verdict:
    """A convolution is still a linear operation, with a highly structured weight matrix."""
    what = f"largest relative error of {len(jacobians)} Jacobians"
    return lab.at_most(max(jacobians["error"]), 1e-6, what)


@question.table
def jacobians(four_pixels: Matrices) -> Iterator[Table]:
    """The Jacobians of the 4-pixel layers."""
    for name, matrix in four_pixels.items():
        yield Table.of(name, ({f"x{j}": f"{v:g}" for j, v in enumerate(row)} for row in matrix))


@question.figure(10, 2.8)
def four_pixels(figure: Figure, four_pixels: Matrices) -> None:
    """The matrices of layers on 4 pixels, each entry with the indices of its weight as the chapter
    prints them: only a convolution's are the same along each diagonal."""
    for axes, (name, matrix) in zip(lab.panels(figure, 4), four_pixels.items(), strict=True):
        texts = [[f"{v:g}" for v in row] for row in matrix]
        style = {"cmap": "Blues", "vmin": 0, "vmax": 2}
        lab.picture(axes, np.not_equal(matrix, 0), title=name, texts=texts, **style)
        axes.set(xlabel="input", ylabel="output")


@question.figure(5.4, 4.8)
def doubly_blocked(figure: Figure, picture: list[list[float]]) -> None:
    """The matrix of an image's convolution: blocks of one row of pixels each, the same along each
    diagonal of blocks, and Toeplitz in themselves."""
    axes = figure.subplots()
    image = axes.imshow(picture, cmap="viridis")
    axes.set(xlabel="input pixel, row by row", ylabel="output pixel, row by row")
    figure.colorbar(image, ax=axes, label="weight")


main = lab.command(question)

if __name__ == "__main__":
    main()
