"""How far does a layer look? A 2.1 to 2.3, measured from Jacobians."""

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from experiments.locality.layers import (
    CONVOLUTION,
    FFT,
    LOCAL,
    ROUNDING,
    make_layers,
    pooling_entries,
    reach,
    unlike_outputs,
)
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.analysis.jacobian import jacobian_matrix
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Records, Verdict

KERNELS = (1, 3, 5, 7)
Odd = Annotated[Sequence[int], "list of odd whole numbers >= 1"]

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
    """Convolutions, locally connected layers and poolings are local: there is a radius k within
    which all that an output depends on lies, (s - 1) / 2 for kernel size s."""
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
    """With a radius smaller than the image's, the definition leaves the dense layer out, which
    reaches from one end to the other."""
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
    """With shared weights the output is one function of the patch."""
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
    """How strongly the middle output depends on each pixel of the input (black: not at all), and
    the radius within which all of it lies."""
    first = [rows[0] for rows in layers.by("layer").values()]
    shown = [row for row in first if "5x5" not in row["layer"] and "1x1" not in row["layer"]]
    grid = lab.panels(figure, len(shown), 3)
    for axes, row in zip(grid, shown, strict=True):
        axes.set_facecolor("black")
        title = f"{row['layer']}\nradius {row['radius']:g}"
        style = {"cmap": "magma", "norm": LogNorm(1e-4, 1)}
        image = lab.picture(axes, row["picture"], title=title, **style)
    figure.colorbar(
        image, ax=grid, label=r"largest $|\partial y / \partial x|$, relative", shrink=0.6
    )


@question.figure(8.5, 4.2)
def profile(figure: Figure, layers: Records) -> None:
    """The largest derivative of an output by a pixel, against the distance between them: a local
    layer's falls to rounding beyond its radius."""
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
    axes.set_ylabel(r"largest $|\partial y / \partial x|$, relative (0 at $10^{-10}$)")
    axes.legend(loc="center right", fontsize=8)


main = lab.command(question)
