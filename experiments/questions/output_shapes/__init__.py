"""B 10.1.3, 10.1.4: output sizes (eq. 10.7) and values (eqs. 10.8, 10.9) of every layer."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from experiments.output_shapes.windows import (
    COUNTS,
    KINDS,
    LAYERS,
    WINDOWS,
    compare,
    output_shape,
    output_shapes,
    printed_size,
    windows_of,
)
from matplotlib.figure import Figure

from cnnlab import lab, ops
from cnnlab.lab import Cells, Count, Records, Verdict

# So many random windows are drawn, and measured, at a time.
CHUNK = 50
# Kernel size, stride, padding and dilation of the curves in the picture.
CURVES = ((5, 1, 0, 1), (5, 1, 2, 1), (5, 2, 0, 1), (3, 1, 1, 2))


question = lab.Question(
    "output_shapes",
    "How large is a layer's output, and what is in it?",
    note="Eq. 10.7 as printed knows one kind of window: without holes, padded by the same amount "
    "on both sides, and no larger than the padded input. For a larger one it gives 0 or a negative "
    "number; lax returns an empty array, and the layers here refuse. With an even kernel no P "
    "keeps the size.",
)


@question.measure(full={"geometries": 4000, "arrays": 300})
def measure(
    cells: Cells,
    *,
    seed: int,
    geometries: Annotated[
        Count, "random windows; the output size of every layer is compared with the formula"
    ] = 400,
    arrays: Annotated[
        Count, "random small arrays; the layers' values are compared with plain loops"
    ] = 40,
) -> dict[str, Any]:
    """Shapes of random geometries; values of small arrays; paddings of all kernel sizes."""
    each = -(-geometries // len(KINDS))
    rng = lambda *key: np.random.default_rng([seed, *key])
    number = lambda first: min(CHUNK, each - first)
    shapes = lambda kind, first: compare(kind, number(first), rng(0, KINDS.index(kind), first))
    loops = lambda array: beside_loops(rng(1, array))
    return {
        "shapes": cells.records("shapes", shapes, kind=KINDS, first=range(0, each, CHUNK)),
        "values": cells.records("values", loops, array=range(arrays)),
        "kernels": [preserving(kernel) for kernel in range(1, 13)],
        "curves": [point(n, *curve) for curve in CURVES for n in range(1, 17)],
    }


def beside_loops(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Outputs of a small convolution and a small max-pool of whole numbers that are not those of
    the plain loops of B eqs. 10.8 and 10.9."""
    integers = lambda *shape: rng.integers(-4, 5, shape).astype(float)
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    kernel = integers(*rng.integers(1, 4, 2), *rng.integers(1, 3, 2))
    x = integers(*rng.integers(3, 8, 2), kernel.shape[2])
    padded = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    loops = windows_of(padded, kernel.shape[:2], stride)
    arrays = (jnp.asarray(a, jnp.float32) for a in (x, kernel))
    z = np.asarray(ops.conv(*arrays, stride=stride, padding=padding, algorithm="lax"))
    window, step = (int(n) for n in rng.integers(1, 4, 2))
    y = np.asarray(ops.max_pool(jnp.asarray(x[..., :1], jnp.float32), (window, window), step))
    sums = z, np.einsum("ijklc,klcm->ijm", loops, kernel)
    maxima = y, windows_of(x[..., :1], (window, window), step).max((2, 3))
    differ = lambda a, b: int((a != b).sum()) if a.shape == b.shape else max(a.size, b.size)
    row = lambda outputs, a, b: {"outputs": outputs, "given": a.size, "differ": differ(a, b)}
    return [row("sums", *sums), row("maxima", *maxima)]


def preserving(kernel: int) -> dict[str, Any]:
    """For one kernel size: the symmetric paddings `P` that keep every size from 1 to 40 at stride 1
    by the printed formula, and how many of those sizes the layer's padding "SAME" does not keep."""
    sizes = range(1, 41)
    keeps = lambda padding: all(printed_size(n, kernel, 1, padding) == n for n in sizes)
    layer = lambda x: ops.conv(x, jnp.zeros((kernel, 1, 1)), padding="SAME")
    return {
        "kernel": kernel,
        "P": [p for p in range(33) if keeps(p)],
        "total": sum(ops.resolve_padding("SAME", (40,), kernel)[0]),
        "sizes": len(sizes),
        "lost": sum(output_shape(layer, (n,)) != (n,) for n in sizes),
    }


def point(size: int, kernel: int, stride: int, padding: int, dilation: int) -> dict[str, Any]:
    """Printed and actual (lax) output size."""
    geometry = ((size,), (kernel,), (stride,), ((padding, padding),), (dilation,))
    [actual] = output_shapes(geometry)["lax"]
    printed = printed_size(size, kernel, stride, padding)
    holes = f", dilation {dilation}" if dilation > 1 else ""
    curve = f"K = {kernel}, S = {stride}, P = {padding}{holes}"
    return {"curve": curve, "size": size, "printed": printed, "lax": actual}


def differing(rows: Records, count: str, what: str, differ: str = "differ") -> Verdict:
    return lab.exact(rows[count], rows["given"], what, differ)


@question.answer
def answer(shapes: Records) -> str:
    rows = shapes.where(layer=LAYERS)
    return (
        "floor((W - K + 2 P) / S) + 1 outputs, for kernels without holes that fit; with the "
        "padding of both sides, (K - 1) D + 1 and no less than 0, in all "
        f"{sum(rows['given']):,} cases."
    )


@question.claim("B eq. 10.7", "a layer with another output size, or one that refuses such a window")
def size(shapes: Records) -> Verdict:
    """W_out = floor((W_in - K_W + 2 P) / S) + 1, for kernels that fit (K_W <= W_in + 2 P)."""
    return differing(shapes.where(layer=LAYERS, kind="even padding"), "printed", "output shapes")


@question.claim(
    "B eq. 10.7",
    "a kernel larger than the padded input, for which lax's output size is not the formula's",
    instead="general",
)
def any_kernel(shapes: Records) -> Verdict:
    """The formula as printed, for any kernel, also one larger than the padded input."""
    rows = shapes.where(kind="too large", layer="lax")
    return differing(rows, "printed", "output shapes of windows that do not fit")


@question.claim("B eq. 10.7", "a dilated layer with another output size", instead="general")
def holes(shapes: Records) -> Verdict:
    """The formula as printed, with K_W the number of weights, for kernels with holes (dilation)."""
    rows = shapes.where(layer=LAYERS, kind="dilated")
    return differing(rows, "printed", "output shapes of dilated layers")


@question.claim(
    "B eq. 10.7", "a layer with another output size, or a count of windows that is another"
)
def general(shapes: Records) -> Verdict:
    """With 2 P replaced by the padding on both sides together, K by (K - 1) D + 1, and 0 where that
    is less, the formula is right for all: the number of windows that fit."""
    rows = shapes.where(layer=LAYERS)
    taken = sum(rows["given"]) - sum(rows["refused"])
    return lab.all_of(
        lab.exact(sum(rows["general"]), taken, "output shapes"),
        differing(shapes.where(layer=WINDOWS), "general", "counts of windows"),
    )


@question.claim("B 10.1.3", "a kernel size for which no P does", instead="preserve_sides")
def preserve(kernels: Records) -> Verdict:
    """P pixels of padding around the input can be used to preserve the spatial dimensions."""
    what = f"kernel sizes from 1 to {len(kernels)} without such a P"
    return lab.at_most(kernels["P"].count([]), 0, what)


@question.claim(
    "B 10.1.3",
    "an odd kernel for which P is another, or a size that the layers' SAME does not preserve",
)
def preserve_sides(kernels: Records) -> Verdict:
    """P = (K - 1) / 2 preserves them for odd kernels; for any kernel K - 1 zeros in all do, which
    for even ones are uneven."""
    odd = kernels.where(lambda k: k["kernel"] % 2)
    other_p = (k["P"] != [(k["kernel"] - 1) // 2] for k in odd)
    other_total = (k["total"] != k["kernel"] - 1 for k in kernels)
    return lab.all_of(
        lab.none_of(other_p, "odd kernels", "have another P"),
        lab.none_of(other_total, "kernels", "take another number of zeros"),
        lab.exact(kernels["lost"], kernels["sizes"], "sizes", "are not kept by SAME"),
    )


@question.claim("B eq. 10.8", "an output of whole numbers that is not the plain loop's")
def sum_(values: Records) -> Verdict:
    """Z[i, j, m] is the sum over c, k, l of X'[S (i - 1) + k, S (j - 1) + l, c] K[k, l, c, m]."""
    return differing(values.where(outputs="sums"), "differ", "sums", "are not the loop's")


@question.claim("B eq. 10.9", "an output that is not the plain loop's")
def maximum(values: Records) -> Verdict:
    """Y[i, j] is the largest Z[S (i - 1) + 1 + k, S (j - 1) + 1 + l] over 0 <= k, l < K."""
    return differing(values.where(outputs="maxima"), "differ", "maxima", "are not the loop's")


@question.table
def by_layer(shapes: Records) -> lab.Rows:
    """Output shapes"""
    for (kind, layer), rows in shapes.where(layer=LAYERS).by("kind", "layer").items():
        counts = {header: f"{sum(rows[count]):,}" for count, header in COUNTS.items()}
        yield {"windows": kind, "layer": layer, **counts}


@question.table
def paddings(kernels: Records) -> lab.Rows:
    """Padding that preserves the size"""
    for k in kernels:
        paddings = ", ".join(map(str, k["P"])) or "none"
        yield {"K": k["kernel"], "P": paddings, "both sides together": k["total"]}


@question.figure(11, 3.4)
def sizes(figure: Figure, curves: Records) -> None:
    """Output size against input size, as printed and as it is."""
    panels = lab.panels(figure, len(CURVES), sharey=True)
    for axes, (name, curve) in zip(panels, curves.by("curve").items(), strict=True):
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.plot(curve["size"], curve["printed"], "tab:red", label="eq. 10.7 as printed")
        axes.plot(curve["size"], curve["lax"], "o", color="tab:blue", markersize=4, label="lax")
        axes.set(title=name, xlabel="input size (pixels)")
    panels[0].set(ylabel="output size (pixels)")
    panels[0].legend()


main = lab.command(question)
