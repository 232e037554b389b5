"""B 10.1.3, 10.1.4: output sizes (eq. 10.7) and values (eqs. 10.8, 10.9) of every layer."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib.figure import Figure

from cnnlab import lab, nn, ops
from cnnlab.lab import Cells, Count, Records, Verdict

# Kinds of windows: all but those that are "too large" fit into the padded input.
KINDS = ("even padding", "too large", "dilated", "uneven padding")
# So many random windows are drawn, and measured, at a time.
CHUNK = 50
# Largest spatial size and kernel size, by rank.
LARGEST = {1: (60, 9), 2: (24, 7), 3: (9, 4)}
LAYERS = ("convolution", "locally connected", "unfold", "lax", "max-pool", "avg-pool")
# What is counted of each of them, and how the table heads it; the same of windows themselves.
COUNTS = {
    "given": "geometries", "refused": "refused", "printed": "not as printed",
    "general": "not as generalised",
}  # fmt: skip
WINDOWS = "windows, counted one by one"
# Kernel size, stride, padding and dilation of the curves in the picture.
CURVES = ((5, 1, 0, 1), (5, 1, 2, 1), (5, 2, 0, 1), (3, 1, 1, 2))

Shape = tuple[int, ...]
# Sizes, kernel, stride, padding and dilation, each with one entry a spatial axis.
Geometry = tuple[Shape, Shape, Shape, tuple[Shape, ...], Shape]

question = lab.Question(
    "output_shapes",
    "How large is a layer's output, and what is in it?",
    note="Eq. 10.7 as printed knows one kind of window: without holes, padded by the same amount "
    "on both sides, and no larger than the padded input. For a larger one it gives 0 or a negative "
    "number; lax returns an empty array, and the layers here refuse. With an even kernel no P "
    "keeps the size.",
)


@question.measure(full={"geometries": 12000, "arrays": 1000})
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


def printed_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """`floor((W_in - K + 2 P) / S) + 1`, as B eq. 10.7 is printed; it may be 0 or less."""
    return (size - kernel + 2 * padding) // stride + 1


def general_size(size: int, kernel: int, stride: int, pads: Shape, dilation: int) -> int:
    """B eq. 10.7 for uneven padding and holes, and 0 where the window does not fit:
    `max(0, floor((W_in + low + high - (K - 1) D - 1) / S) + 1)`."""
    room = size + sum(pads) - (kernel - 1) * dilation - 1
    return max(0, room // stride + 1)


def counted_windows(size: int, kernel: int, stride: int, pads: Shape, dilation: int) -> int:
    """How many windows there are: each is looked at, and counted if its last tap is inside."""
    inside = range(size + sum(pads))
    return sum(start + (kernel - 1) * dilation in inside for start in inside[::stride])


def windows_of(x: np.ndarray, size: Shape, stride: int) -> np.ndarray:
    """What the windows of B eqs. 10.8 and 10.9 read of `(h, w, ...)`, as many as eq. 10.7 counts:
    `X[S i + k, S j + l]` with indices from 0, `(h_out, w_out, k_h, k_w, ...)`."""
    rows, columns = (range(printed_size(n, k, stride, 0)) for n, k in zip(x.shape, size))  # noqa: B905
    window = lambda i, j: x[stride * i :, stride * j :][: size[0], : size[1]]
    return np.array([[window(i, j) for j in columns] for i in rows])


def draw(kind: str, rng: np.random.Generator) -> Geometry:
    """A geometry of one of `KINDS`; a window that is "too large" is so along some axis."""
    while True:
        rank = int(rng.integers(1, 4))
        largest, kernel = LARGEST[rank]
        some = lambda low, high, rank=rank: tuple(int(n) for n in rng.integers(low, high + 1, rank))
        pads = tuple((p, p) for p in some(0, 4))
        if kind == "uneven padding":
            pads = tuple(zip(some(0, 4), some(0, 4), strict=True))
        dilation = some(1, 3) if kind == "dilated" else (1,) * rank
        sizes = some(1, 5 if kind == "too large" else largest)
        geometry = (sizes, some(1, kernel), some(1, 4), pads, dilation)
        fits = all(counted_windows(*axis) for axis in zip(*geometry, strict=True))
        if fits == (kind != "too large") and (kind != "dilated" or max(dilation) > 1):
            return geometry


def output_shapes(geometry: Geometry) -> dict[str, Shape | None]:
    """The spatial shape of every layer's output, by tracing alone; None where it refuses. (Pools
    take no dilation, and less padding than a window.)"""
    sizes, *window = geometry
    kernel, stride, pads, dilation = window
    rank, weights, key = len(sizes), jnp.zeros((1, 1, *kernel)), jax.random.key(0)
    options = {"stride": stride, "padding": pads, "dilation": dilation}
    lax_conv = lambda x: lax.conv_general_dilated(x, weights, stride, pads, rhs_dilation=dilation)
    local = lambda x: nn.LocallyConnected(rank, 1, 1, kernel, sizes, *window[1:], key=key)(x)
    layers: dict[str, Callable[[Any], Any]] = {
        "convolution": lambda x: nn.Conv(rank, 1, 1, *window, key=key)(x),
        "locally connected": local,
        "unfold": lambda x: ops.unfold(x, kernel, **options),
        "lax": lambda x: jnp.moveaxis(lax_conv(jnp.moveaxis(x, -1, 1)), 1, -1),  # channels first
    }
    if set(dilation) == {1} and all(max(p) < k for p, k in zip(pads, kernel, strict=True)):
        layers["max-pool"] = lambda x: nn.MaxPool(rank, *window[:3])(x)
        layers["avg-pool"] = lambda x: nn.AvgPool(rank, *window[:3])(x)
    return {name: output_shape(layer, sizes) for name, layer in layers.items()}


def output_shape(layer: Callable[[Any], Any], sizes: Shape) -> Shape | None:
    try:
        y = jax.eval_shape(layer, jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32))
    except ValueError:
        return None
    return tuple(y.shape[1:-1])


def compare(kind: str, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """By layer, how many geometries of a kind it was given, how many of them it refused, and for
    how many its shape is not that of the printed or of the general formula. (Of the printed one a
    refusal is a difference, too, and so is an odd sum of the two sides' padding: there is no `P`.)
    """
    rows = Records()
    for geometry in (draw(kind, rng) for _ in range(number)):
        axes = list(zip(*geometry, strict=True))
        counted, general = (tuple(f(*a) for a in axes) for f in (counted_windows, general_size))
        printed = tuple(printed_size(n, k, s, sum(p) // 2) for n, k, s, p, _ in axes)
        odd = any(sum(pads) % 2 for pads in geometry[3])
        for layer, shape in {**output_shapes(geometry), WINDOWS: counted}.items():
            row = {"layer": layer, "given": 1, "refused": shape is None}
            row["printed"] = odd or shape != printed
            row["general"] = shape not in (None, general)
            rows.append(row)
    total = lambda rows: {count: sum(rows[count]) for count in COUNTS}
    return [{"layer": layer, **total(some)} for layer, some in rows.by("layer").items()]


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
    """The same for any kernel, as it is printed, without that condition."""
    rows = shapes.where(kind="too large", layer="lax")
    return differing(rows, "printed", "output shapes of windows that do not fit")


@question.claim("B eq. 10.7", "a dilated layer with another output size", instead="general")
def holes(shapes: Records) -> Verdict:
    """The same, with K_W the number of weights, for kernels with holes (dilation)."""
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

if __name__ == "__main__":
    main()
