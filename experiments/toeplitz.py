"""The matrices of A 1.5, 2.5 and 3.3: a dense, a locally connected and a convolutional layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments._question import Claim, Question, Table, entry
from experiments._verdict import Verdict, at_most, exact

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    import numpy as np
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from experiments._cells import Cells

# Weights as numbers that no sum of others makes: Wij is 10 i + j, and W1, W2, W3 are 1, 2, 3.
PRINTED = {
    "dense": [[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]],
    "locally connected": [[12, 13, 0, 0], [21, 22, 23, 0], [0, 31, 32, 33], [0, 0, 41, 42]],
    "locally connected, padded": [
        [11, 12, 13, 0, 0, 0], [0, 21, 22, 23, 0, 0], [0, 0, 31, 32, 33, 0], [0, 0, 0, 41, 42, 43]
    ],
    "convolution": [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3], [0, 0, 1, 2]],
}  # fmt: skip

CLAIMS = (
    Claim(
        "entries",
        "A 1.5, 2.5, 3.3",
        "The matrices of a dense, a locally connected (also padded) and a convolutional layer of 4 "
        "pixels are the printed ones.",
        "an entry of a layer's Jacobian that differs from the printed one",
    ),
    Claim(
        "toeplitz",
        "A 3.3",
        "The matrix of a convolution has constant values along each diagonal.",
        "two entries of a diagonal of a one-channel convolution's matrix that differ",
    ),
    Claim(
        "linear",
        "A 3.3",
        "A convolution is still a linear operation, with a highly structured weight matrix.",
        "a convolution whose Jacobian is not the matrix built from its kernel",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """The layers' Jacobians; random geometries against the built matrix; the picture's matrix."""
    import jax.numpy as jnp
    import numpy as np

    from cnnlab import ops

    weights = np.random.default_rng(cfg.seed).integers(1, 9, (3, 3, 1, 1))
    kernel = jnp.asarray(weights, jnp.float32)
    picture = ops.toeplitz_matrix(kernel, (*cfg.image, 1), padding="SAME")
    draws = {
        f"geometry {i}": lambda i=i: _toeplitz_error(np.random.default_rng([cfg.seed, i]))
        for i in range(cfg.geometries)
    }
    return {
        "four_pixels": _four_pixels(),
        "jacobians": list(cells.all(draws).values()),
        "picture": np.asarray(picture).tolist(),
    }


def _toeplitz_error(rng: "np.random.Generator") -> tuple[str, float]:
    """A random convolution (any rank, stride, padding, dilation, groups), and the largest entry of
    the difference between its Jacobian and the matrix built from its kernel, relative to the
    kernel's largest weight."""
    import jax.numpy as jnp
    import numpy as np

    from cnnlab import ops
    from cnnlab.analysis.jacobian import jacobian_matrix
    from cnnlab.bench.geometries import random_problem

    p = random_problem("lax", rng)
    kernel = jnp.asarray(rng.standard_normal(p.kernel_shape), jnp.float32)
    geometry = {n: getattr(p, n) for n in ("stride", "padding", "dilation", "groups")}
    shape = p.x_shape[1:]
    built = np.asarray(ops.toeplitz_matrix(kernel, shape, **geometry))
    layer = lambda x: ops.conv(x, kernel, algorithm="lax", **geometry)
    jacobian = jacobian_matrix(layer, shape)
    return str(p), float(np.abs(built - jacobian).max(initial=0) / jnp.abs(kernel).max())


def _four_pixels() -> dict[str, list[list[float]]]:
    """The Jacobian of each layer of 4 pixels, one channel, kernel size 3."""
    import jax.numpy as jnp

    from cnnlab import ops
    from cnnlab.analysis.jacobian import jacobian_matrix

    dense = jnp.array(PRINTED["dense"], float)
    own = jnp.array([[10 * i + j for j in (1, 2, 3)] for i in (1, 2, 3, 4)], float)[..., None]
    local = lambda x, padding: ops.local_conv(x, own, window=3, padding=padding)
    shared = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    layers = {
        "dense": (lambda x: dense @ x, 4),
        "locally connected": (lambda x: local(x, "SAME"), 4),
        "locally connected, padded": (lambda x: local(x, "VALID"), 6),
        "convolution": (lambda x: ops.conv(x, shared, padding="SAME"), 4),
    }
    return {
        name: jacobian_matrix(layer, (pixels, 1)).tolist()
        for name, (layer, pixels) in layers.items()
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Entry by entry; diagonal by diagonal; the largest error relative to the matrix's norm."""
    entries = [
        a != b
        for name, printed in PRINTED.items()
        for row, expected in zip(data["four_pixels"][name], printed, strict=True)
        for a, b in zip(row, expected, strict=True)
    ]
    matrix = data["four_pixels"]["convolution"]
    neighbours = [(matrix[i][j], matrix[i + 1][j + 1]) for i in range(3) for j in range(3)]
    return {
        "entries": exact(sum(entries), len(entries), "entries"),
        "toeplitz": exact(sum(a != b for a, b in neighbours), len(neighbours), "neighbours"),
        "linear": at_most(
            max(error for _, error in data["jacobians"]),
            1e-6,
            f"largest relative error of {len(data['jacobians'])} Jacobians",
        ),
    }


def tables(data: Mapping[str, Any]) -> list[Table]:
    """The Jacobians of the 4-pixel layers."""
    return [
        Table(
            name, [f"x{j}" for j in range(len(matrix[0]))], [[f"{v:g}" for v in r] for r in matrix]
        )
        for name, matrix in data["four_pixels"].items()
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """The 4-pixel matrices, and the doubly blocked one of an image."""
    from matplotlib.figure import Figure

    small = Figure(figsize=(10, 2.8), layout="constrained")
    matrices = data["four_pixels"]
    for axes, (name, matrix) in zip(
        small.subplots(1, len(matrices)), matrices.items(), strict=True
    ):
        axes.imshow([[v != 0 for v in row] for row in matrix], cmap="Blues", vmin=0, vmax=2)
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                axes.text(j, i, f"{value:g}", ha="center", va="center", fontsize=9)
        axes.set(title=name, xticks=[], yticks=[], xlabel="input", ylabel="output")
    large = Figure(figsize=(5.4, 4.8), layout="constrained")
    axes = large.subplots()
    image = axes.imshow(data["picture"], cmap="viridis")
    axes.set(title="3x3 convolution of an image: blocks of Toeplitz blocks")
    axes.set(xlabel="input pixel, row by row", ylabel="output pixel, row by row")
    large.colorbar(image, ax=axes, label="weight")
    return {"four_pixels": small, "doubly_blocked": large}


QUESTION = Question(
    name="toeplitz",
    title="What does a convolution look like as a matrix?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="As printed, the chapter's 4-pixel equations lack the equality sign between h and W x.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
