"""How are the values of an array laid out, and in which order does flattening take them? (A 1.4)"""

import math
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped
from matplotlib.figure import Figure

from cnnlab import lab, ops
from cnnlab.lab import Cells, Count, Records, Verdict

# What changes the shape of an image (h, w, c) and moves no value.
VIEWS = {
    "as it is": lambda x: x,
    "channels first": lambda x: x.transpose(2, 0, 1),
    "transposed": lambda x: x.transpose(1, 0, 2),
    "left and right swapped": lambda x: x[:, ::-1],
    "every second row": lambda x: x[::2],
    "a row repeated": lambda x: np.broadcast_to(x[:1], x.shape),
}
PRINTED = ((32, 32, 3), (96, 3, 1))

question = lab.Question(
    "strides_of_arrays",
    "In which order does flattening take the values of an array?",
    note="Strides are counted in values, as PyTorch does; NumPy counts bytes. Reshaping follows "
    "the order of the indices, the last one fastest, which is the order in memory only of an array "
    "that is stored so: an image whose channels were moved to the front is another vector than the "
    "same memory read from its beginning. JAX shows no strides; its reshape takes the same order.",
)


@question.measure(full={"arrays": 200, "largest": 12})
def measure(
    cells: Cells,
    *,
    seed: int,
    arrays: Annotated[Count, "of random shapes, and images"] = 30,
    largest: Annotated[int, "whole number >= 3", "their sizes, at most"] = 7,
) -> dict[str, Any]:
    """Arrays of random shapes, and views of images."""
    several = range(seed, seed + arrays)
    return {
        "printed": [n // 4 for n in np.zeros(PRINTED[0], np.float32).strides],
        "fresh": cells.records("fresh", lambda seed: fresh(seed, largest), seed=several),
        "views": cells.records(
            "views", lambda view, seed: viewed(view, seed, largest), view=VIEWS, seed=several
        ),
        "patches": cells.records("patches", lambda seed: patches(seed, largest), seed=several),
    }


def strides(x: Shaped[np.ndarray, "..."]) -> list[int]:
    """In values."""
    return [n // x.itemsize for n in x.strides]


def numbered(shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """An array whose values are their places in its memory."""
    return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


def fresh(seed: int, largest: int) -> dict[str, int]:
    """An array of 1 to 5 axes: its strides, where each value lies, and what flattening undoes."""
    rng = np.random.default_rng(seed)
    shape = tuple(map(int, rng.integers(2, largest + 1, rng.integers(1, 6))))
    x = np.empty(shape, np.float32)
    expected = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    memory = rng.standard_normal(x.size).astype(np.float32)
    x[...] = memory.reshape(shape)
    where = np.tensordot(np.indices(shape), strides(x), (0, 0))
    return {
        "axes": len(shape),
        "strides_differ": sum(a != b for a, b in zip(strides(x), expected, strict=True)),
        "values": x.size,
        "elsewhere": int((x != x.ravel("K")[where]).sum()),
        "not_undone": int((x.reshape(-1).reshape(shape) != x).sum()),
    }


def viewed(view: str, seed: int, largest: int) -> dict[str, Any]:
    """A view of an image, flattened, beside its values by the order of their places in memory, and
    of their indices."""
    rng = np.random.default_rng(seed)
    h, w, c = map(int, rng.integers(3, largest + 1, 3))
    image = numbered((h, w, c))
    x = VIEWS[view](image)
    by_index = [int(x[i]) for i in np.ndindex(x.shape)]
    flat = x.reshape(-1)
    by_jax = np.asarray(jnp.asarray(x).reshape(-1))
    return {
        "strides": strides(x), "values": x.size, "copied": not np.shares_memory(x, image),
        "flat_copied": not np.shares_memory(flat, image),
        "not_by_memory": int((flat != np.sort(flat)).sum()),
        "not_by_index": int((flat != by_index).sum() + (by_jax != by_index).sum()),
    }  # fmt: skip


def patches(seed: int, largest: int) -> dict[str, int]:
    """All 3x3 patches of an image as a view with five strides, beside those that are unfolded."""
    rng = np.random.default_rng(seed)
    h, w, c = map(int, rng.integers(3, largest + 1, 3))
    image = rng.standard_normal((h, w, c)).astype(np.float32)
    down, right, channel = image.strides
    view = np.lib.stride_tricks.as_strided(
        image, (h - 2, w - 2, 3, 3, c), (down, right, down, right, channel), writeable=False
    )
    unfolded = np.asarray(ops.unfold(jnp.asarray(image), (3, 3)))
    differ = view.reshape(h - 2, w - 2, -1) != unfolded
    return {"values": differ.size, "differ": int(differ.sum())}


@question.answer
def answer(views: Records) -> str:
    moved = views.where(view="channels first")
    of = 100 * sum(moved["not_by_memory"]) / sum(moved["values"])
    return (
        "In the order of the indices, the last one fastest; that is the order in memory of an "
        "array that is stored so. Of images whose channels were moved to the front, "
        f"{of:.0f} % of the values stand elsewhere in the vector than in memory."
    )


@question.claim("A 1.4", "another stride")
def printed(printed: list[int]) -> Verdict:
    """An array of shape (32, 32, 3) has strides (96, 3, 1)."""
    return lab.none_of((a != b for a, b in zip(printed, PRINTED[1], strict=True)), "strides")


@question.claim("A 1.4", "a stride that is not the product of the sizes of later axes")
def row_major(fresh: Records) -> Verdict:
    """This is row-major ordering: the last dimension is contiguous, with stride 1, and an axis's
    stride is the product of the later sizes."""
    return lab.exact(fresh["strides_differ"], fresh["axes"], "strides")


@question.claim("A 1.4", "a value that does not lie there")
def step(fresh: Records) -> Verdict:
    """The stride gives the step in memory to move 1 index along each axis: the value at an index
    lies at the sum of its parts times the strides."""
    return lab.exact(fresh["elsewhere"], fresh["values"], "values", "lie elsewhere")


@question.claim("A 1.3", "a value that flattening and reshaping back moves")
def unvect(fresh: Records) -> Verdict:
    """unvect(vect(X)) is X."""
    return lab.exact(fresh["not_undone"], fresh["values"], "values")


@question.claim(
    "A 1.4", "a vector whose values are in another order than in memory", instead="by_index"
)
def by_memory(views: Records) -> Verdict:
    """As printed: all reshape and flatten operations follow the underlying strided ordering, which
    determines how image values are packed into vectors."""
    return lab.exact(
        views["not_by_memory"], views["values"], "values", "stand elsewhere than in memory"
    )


@question.claim("A 1.4", "a value in another place of the vector")
def by_index(views: Records) -> Verdict:
    """Reshape and flatten follow the order of the indices, the last one fastest, whatever the
    strides are; in NumPy as in JAX."""
    return lab.exact(views["not_by_index"], [2 * n for n in views["values"]], "values")


@question.claim("A 1.4", "an image that is copied")
def no_copy(views: Records) -> Verdict:
    """In a strided layout, to move axes, to reverse or skip or repeat along one moves no value:
    strides change alone."""
    return lab.none_of(views["copied"], "views", "are copies")


@question.claim("A 1.4, 2.2", "a value of a patch that differs")
def windows(patches: Records) -> Verdict:
    """The patches of an image are a view of it, too: five strides, of which two are the image's
    again, give what is unfolded."""
    return lab.exact(patches["differ"], patches["values"], "values")


@question.table
def layouts(views: Records) -> lab.Rows:
    """Views of images of random sizes; the strides are of the first one"""
    for view, found in views.by("view").items():
        places = sum(found["not_by_memory"]), sum(found["values"])
        yield {
            "view": view, "strides": ", ".join(map(str, found["strides"][0])),
            "copied": sum(found["copied"]), "copied to flatten": sum(found["flat_copied"]),
            "of": len(found), "values not in the order of memory": "{:,} of {:,}".format(*places),
        }  # fmt: skip


@question.figure(9, 2.6)
def order(figure: Figure) -> None:
    """Where each value of the flattened view lies in the memory of an image of 3 x 4 pixels and 2
    channels."""
    image = numbered((3, 4, 2))
    for axes, (view, of) in zip(lab.panels(figure, len(VIEWS)), VIEWS.items(), strict=True):
        flat = of(image).reshape(-1)
        axes.plot(flat, ".-", ms=4, lw=0.7)
        axes.set_title(view, fontsize=8)
        axes.tick_params(labelsize=7)
    figure.supxlabel("place in the vector", fontsize=9)
    figure.supylabel("place in memory", fontsize=9)


main = lab.command(question)

if __name__ == "__main__":
    main()
