"""How far does a layer look? A 2.1 to 2.3, measured from Jacobians."""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.analysis.fields import Field, fields
from cnnlab.analysis.jacobian import jacobian_matrix
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Records, Verdict

KERNELS = (1, 3, 5, 7)
Odd = Annotated[Sequence[int], "list of odd whole numbers >= 1"]
# Largest entry, relative to the largest of all, that float32 leaves where exact sums give zero:
# a Fourier transform of a hundred numbers rounds a few times, each by 6e-8.
ROUNDING = 1e-5
CONVOLUTION, LOCAL, FFT = "convolution 3x3", "locally connected 3x3", "convolution 3x3 by FFT"
IN_PLACE = Field("", (1, 1), (1, 1), (0, 0))  # outputs lie where inputs do

question = lab.Question(
    "locality",
    "How far does a layer look?",
    note="The definition of A 2.3 is loose in two ways. It asks for some radius k, which on a "
    "finite image every layer has: it must be smaller than the image. And it writes the output "
    "as one function f of the patch, which is weight sharing already: locally connected layers, "
    "the chapter's first example, have another function at every pixel. What is meant is that "
    "the output at (i, j) depends on the patch only. A kernel as long as the image with padding "
    "SAME sees half of the image on each side; a normalisation with statistics over space "
    "(group norm) sees all of it.",
)


@question.check
def check(size: int, kernels: Sequence[int]) -> None:
    """Kernels fit into the image; the chapter's size, 3, is among them."""
    for i, s in enumerate(kernels):
        if s > size:
            raise ConfigError(f"kernels[{i}]: expected an odd size up to {size}, got {s}")
    if 3 not in kernels:
        raise ConfigError(f"kernels: expected 3 among them, got {list(kernels)}")


@question.measure(full={"size": 17, "channels": 4, "kernels": [1, 3, 5, 7, 9, 11], "seeds": 5})
def measure(
    cells: Cells,
    *,
    seed: int,
    size: Annotated[int, "odd whole number >= 5", "side of the images, odd"] = 11,
    channels: Annotated[Count, "in and out of every layer"] = 3,
    kernels: Annotated[Odd, "of the convolutions and of the locally connected layers"] = KERNELS,
    seeds: Annotated[Count, "networks of each kind, with other random weights"] = 1,
) -> dict[str, Any]:
    """Every layer's Jacobian, one cell each."""
    shape, several = (size, size, channels), range(seed, seed + seeds)
    made = functools.cache(lambda seed: make_layers(shape, kernels, seed))
    look = lambda layer, seed: reach(made(seed)[layer], shape, seed)
    unlike = lambda layer, seed: unlike_outputs(made(seed)[layer], shape)
    pooling = lambda seed: pooling_entries(shape, seed)

    def zeros(seed: int) -> dict[str, int]:
        matrix = jacobian_matrix(made(seed)["dense"].apply, shape)
        return {"zeros": int((matrix == 0).sum()), "compared": matrix.size}

    return {
        "layers": cells.records("reach", look, layer=made(seed), seed=several),
        "equal_patches": cells.records("unlike", unlike, layer=(CONVOLUTION, LOCAL), seed=several),
        "dense": cells.records("dense", zeros, seed=several),
        "pooling": cells.records("pooling", pooling, seed=several),
    }


class Layer(NamedTuple):
    """A layer `(h, w, c) -> (h', w', c)`: the radius that its kernel says it has, `None` where it
    has none smaller than the image; `module`, with a window of its own; `inputs`, at how many its
    Jacobian must be taken; `full`, whether an output depends on all of its patch, with no holes."""

    apply: Callable[[Array], Array]
    expected: float | None
    module: Any = None
    inputs: int = 1
    full: bool = True


def make_layers(shape: tuple[int, ...], kernels: Sequence[int], seed: int) -> dict[str, Layer]:
    """Every kind of layer, on images of a shape, with random weights."""
    *spatial, c = shape
    size, key = spatial[0], jr.key(seed)
    batched = lambda module: lambda x: module(x[None])[0]
    of = lambda module, *more, **options: Layer(batched(module), *more, module, **options)
    conv = functools.partial(nn.Conv2d, c, c, algorithm="lax", key=key)
    dense = nn.FullyConnected2d(c, c, spatial, kernel_init="lecun_normal", key=key)
    found = {
        "dense": Layer(dense, None),
        "group norm": Layer(batched(nn.GroupNorm(c, 1)), None),
        "layer norm": Layer(nn.LayerNorm(c), 0),
    }
    for s in kernels:
        local = nn.LocallyConnected2d(c, c, s, spatial, key=key)
        found[f"convolution {s}x{s}"] = of(conv(s), (s - 1) / 2)
        found[f"locally connected {s}x{s}"] = of(local, (s - 1) / 2)
    for d in (2, 3):
        found[f"convolution 3x3, dilation {d}"] = of(conv(3, dilation=d), d, full=False)
    lax = {"algorithm": "lax", "key": key}
    return {
        **found,
        "depthwise 3x3": of(nn.DepthwiseConv2d(c, 3, **lax), 1),
        "separable 3x3": of(nn.SeparableConv2d(c, c, 3, **lax), 1),
        FFT: of(conv(3, algorithm="fft"), 1),
        f"long convolution {size}x{size}": of(nn.LongConv2d(c, c, spatial, key=key), size // 2),
        "max-pooling 2x2": of(nn.MaxPool2d(2), 0.5, inputs=64),
        "average pooling 2x2": of(nn.AvgPool2d(2), 0.5),
        "average pooling 3x3, stride 1": of(nn.AvgPool2d(3, 1, "SAME"), 1),
    }


def reach(layer: Layer, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """A layer's radius (A 2.3): the largest distance at which an output depends on an input; how
    its support differs from the patch, its profile by distance, a picture of it."""
    strengths = strength(layer.apply, random_inputs(shape, layer.inputs, seed))
    strengths /= strengths.max()
    support = strengths > ROUNDING
    out, spatial = strengths.shape[:2], strengths.shape[2:]
    place = IN_PLACE if layer.module is None else fields(layer.module, shape)[-1]
    apart = distances(out, spatial, place)
    radius = float(apart[support].max(initial=0))
    patch = apart <= (radius if layer.expected is None else layer.expected)
    middle = tuple(n // 2 for n in out)
    return {
        "expected": layer.expected, "radius": radius, "full": layer.full,
        "farthest": float(apart.max()), "share": float(support.mean()),
        "unlike_patch": int((support != patch).sum()), "compared": patch.size,
        "outside": float(strengths[~patch].max(initial=0)),
        "profile": [(float(d), float(strengths[apart == d].max())) for d in np.unique(apart)],
        "picture": (strengths[middle] / strengths[middle].max()).tolist(),
    }  # fmt: skip


def strength(layer: Callable[[Array], Array], xs: Sequence[Array]) -> np.ndarray:
    """`(*out, *spatial)`: the largest `|d y[o, m] / d x[i, c]|` over channels and over inputs,
    `(*spatial, c)` each: one is enough for a linear layer; a maximum needs as many as make each of
    its entries win once."""
    jacobian = jax.jit(jax.jacfwd(layer))
    largest = functools.reduce(np.maximum, (np.abs(jacobian(x)) for x in xs))
    return largest.max((-1 - xs[0].ndim, -1))


def distances(out: Sequence[int], spatial: Sequence[int], field: Field) -> np.ndarray:
    """`(*out, *spatial)`: the Chebyshev distance `max_a |centre_a + stride_a o_a - i_a|` (A 2.1) of
    input position `i` from where output position `o` lies in the input."""
    *o, i, j = np.indices((*out, *spatial), sparse=True)
    along = zip(o, (i, j), field.stride, field.centre, strict=True)
    return functools.reduce(np.maximum, [abs(c + s * a - b) for a, b, s, c in along])


def random_inputs(shape: tuple[int, ...], n: int, seed: int) -> list[Array]:
    """`n` normal inputs of a shape, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(n)]


def pooling_entries(shape: tuple[int, ...], seed: int) -> dict[str, int]:
    """Entries of the 2x2 max-pooling's dependence, channels apart, that are not those of A 4.5, and
    how many were compared."""
    jacobian = jax.jit(jax.jacfwd(lambda x: nn.MaxPool2d(2)(x[None])[0]))
    depends = np.any([jacobian(x) for x in random_inputs(shape, 64, seed)], 0)
    i, j, c, p, q, d = np.indices(depends.shape, sparse=True)
    # Counted from 0; the chapter counts from 1: p in {2i - 1, 2i}, q in {2j - 1, 2j}.
    printed = (p // 2 == i) & (q // 2 == j) & (c == d)
    return {"unlike": int((depends != printed).sum()), "compared": depends.size}


def unlike_outputs(layer: Layer, shape: tuple[int, ...]) -> float:
    """How far the outputs of pixels with equal 3x3 patches differ, relative to the largest output:
    in a constant image, all whose patch lies inside it."""
    y = np.asarray(layer.apply(jnp.ones(shape)))[1:-1, 1:-1]
    return float(np.ptp(y, axis=(0, 1)).max() / np.abs(y).max())


@question.answer
def answer(layers: Records) -> str:
    radius = {row["layer"]: row["radius"] for row in layers}
    convolutions = [name for name in radius if name.startswith("convolution")]
    return (
        f"A convolution exactly as far as its kernel reaches ({radius[convolutions[0]]:g} pixels "
        f"for {convolutions[0].split()[-1]}), a dense layer to the far end "
        f"({radius['dense']:g} pixels); the chapter's definition needs a radius below the image's."
    )


@question.claim("A 2.2", "a pixel of the patch without a derivative, or one outside with one")
def patch(layers: Records) -> Verdict:
    """The pixels at Chebyshev distance at most k from (i, j) are the patch, s = 2k + 1 pixels wide:
    all of what a convolution or locally connected layer sees there."""
    kinds = {name for name in layers["layer"] if name.startswith(("convolution", "locally"))}
    windows = layers.where(layer=kinds, full=True)
    pairs = "pairs of output and input pixel"
    return lab.exact(windows["unlike_patch"], windows["compared"], pairs)


@question.claim("A 2.3, 3.2", "a layer whose measured radius is another")
def local(layers: Records) -> Verdict:
    """These layers are local: there is a radius k within which all that an output depends on lies,
    (s - 1) / 2 for kernel size s."""
    windows = layers.where(lambda row: row["expected"] is not None)
    return lab.none_of((row["radius"] != row["expected"] for row in windows), "radii")


@question.claim("A 1.3", "a zero in the Jacobian of a dense layer with random weights")
def dense_(dense: Records) -> Verdict:
    """In a dense layer every output channel of every pixel depends on all channels of all
    pixels."""
    return lab.exact(dense["zeros"], dense["compared"], "derivatives (zero or not)")


@question.claim(
    "A 2.3, 2.4",
    "a radius, if as large as the image, within which all that it depends on lies",
    instead="dense_radius",
)
def dense_as_printed(layers: Records) -> Verdict:
    """As printed (there exists some radius k), the definition leaves the dense layer out: it is
    made local by zeroing weights."""
    radius, farthest = (max(layers.where(layer="dense")[of]) for of in ("radius", "farthest"))
    return lab.at_least(radius, farthest + 1, "radius of the dense layer, beyond the image")


@question.claim(
    "A 2.3", "a dense layer whose radius is less than the largest distance in the image"
)
def dense_radius(layers: Records) -> Verdict:
    """With a radius smaller than the image's it does: a dense layer reaches from one end to the
    other."""
    wrong = (row["radius"] != row["farthest"] for row in layers.where(layer="dense"))
    return lab.none_of(wrong, "radii of dense layers")


@question.claim(
    "A 2.3",
    "two pixels with equal patches and other outputs, beyond rounding",
    instead="shared_function",
)
def same_function(equal_patches: Records) -> Verdict:
    """As printed, [f(X)]_ij = f(P_ij): in a local layer, a locally connected one too, the output is
    one function of the patch."""
    unlike = max(equal_patches.where(layer=LOCAL)["unlike"])
    return lab.at_most(unlike, ROUNDING, "locally connected: largest difference of outputs")


@question.claim(
    "A 3.2", "two pixels with equal patches and other outputs of a convolution, beyond rounding"
)
def shared_function(equal_patches: Records) -> Verdict:
    """With shared weights it is."""
    unlike = max(equal_patches.where(layer=CONVOLUTION)["unlike"])
    return lab.at_most(unlike, ROUNDING, "convolution: largest difference of outputs")


@question.claim("A 4.5", "an input that counts outside of that window, or never counts inside")
def pooling_(pooling: Records) -> Verdict:
    """2x2 max-pooling reads p in {2i - 1, 2i}, q in {2j - 1, 2j} of its own channel."""
    return lab.exact(pooling["unlike"], pooling["compared"], "pairs of output and input number")


@question.claim("A 6.3", "a derivative outside of the patch that is larger than rounding")
def fourier(layers: Records) -> Verdict:
    """A convolution can be computed in the frequency domain, where every coefficient depends on
    every pixel: it is as local as before."""
    outside = max(layers.where(layer=FFT)["outside"])
    return lab.at_most(outside, ROUNDING, "largest derivative outside")


@question.table
def radii(layers: Records) -> lab.Rows:
    """Radius in Chebyshev distance, in pixels"""
    for name, (r, *others) in layers.by("layer").items():
        yield {
            "layer": name,
            "radius by kernel": "" if r["expected"] is None else f"{r['expected']:g}",
            "radius": f"{r['radius']:g}", "pairs that depend": f"{r['share']:.1%}",
            "outside": f"{r['outside']:.1e}", "n": 1 + len(others),
        }  # fmt: skip


@question.figure(10, 6.6)
def patches(figure: Figure, layers: Records) -> None:
    """What the middle output sees."""
    first = [rows[0] for rows in layers.by("layer").values()]
    shown = [row for row in first if "5x5" not in row["layer"] and "1x1" not in row["layer"]]
    grid = lab.panels(figure, len(shown), 3)
    for axes, row in zip(grid, shown, strict=True):
        axes.set_facecolor("black")
        title = f"{row['layer']}\nradius {row['radius']:g}"
        style = {"cmap": "magma", "norm": LogNorm(1e-4, 1)}
        image = lab.picture(axes, row["picture"], title=title, **style)
    figure.colorbar(image, ax=grid, label="largest |dy / dx|, relative", shrink=0.6)


@question.figure(8.5, 4.2)
def profile(figure: Figure, layers: Records) -> None:
    """Derivatives against distance."""
    first = {name: rows[0] for name, rows in layers.by("layer").items()}
    names = ["dense", CONVOLUTION, "convolution 5x5", FFT, "convolution 3x3, dilation 3"]
    names += [name for name in first if name.startswith("long")]
    axes = figure.subplots()
    for name, marker in zip(names, "os^vDx", strict=True):
        if name in first:
            distance, share = zip(*first[name]["profile"], strict=True)
            axes.plot(distance, np.maximum(share, 1e-10), marker + "-", label=name, ms=5)
    axes.axhline(ROUNDING, color="grey", ls=":", label="taken for rounding below")
    axes.set(yscale="log", xlabel="Chebyshev distance from the output's pixel (pixels)")
    axes.set_ylabel("largest |dy / dx|, relative (0 drawn at 1e-10)")
    axes.legend(loc="center right", fontsize=8)


main = lab.command(question)

if __name__ == "__main__":
    main()
