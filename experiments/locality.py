"""How far does a layer look? A 2.1 to 2.3, measured from Jacobians."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, at_least, at_most, exact
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Largest entry, relative to the largest of all, that float32 leaves where exact sums give zero:
# a Fourier transform of a hundred numbers rounds a few times, each by 6e-8.
ROUNDING = 1e-5
FFT = "convolution 3x3 by FFT"
SAMPLED = ("convolution 3x3", "locally connected 3x3")  # of the claim on equal patches

CLAIMS = (
    Claim(
        "patch",
        "A 2.2",
        "The pixels at Chebyshev distance at most k from (i, j) are the patch, s = 2k + 1 pixels "
        "wide: all of what a convolution or locally connected layer sees there.",
        "a pixel of the patch without a derivative, or one outside with one",
    ),
    Claim(
        "local",
        "A 2.3, 3.2",
        "These layers are local: there is a radius k within which all that an output depends on "
        "lies, (s - 1) / 2 for kernel size s.",
        "a layer whose measured radius is another",
    ),
    Claim(
        "dense",
        "A 1.3",
        "In a dense layer every output channel of every pixel depends on all channels of all "
        "pixels.",
        "a zero in the Jacobian of a dense layer with random weights",
    ),
    Claim(
        "dense_as_printed",
        "A 2.3, 2.4",
        "As printed (there exists some radius k), the definition leaves the dense layer out: it is "
        "made local by zeroing weights.",
        "a radius, if as large as the image, within which all that it depends on lies",
    ),
    Claim(
        "dense_radius",
        "A 2.3",
        "With a radius smaller than the image's it does: a dense layer reaches from one end to "
        "the other.",
        "a dense layer whose radius is less than the largest distance in the image",
    ),
    Claim(
        "same_function",
        "A 2.3",
        "As printed, [f(X)]_ij = f(P_ij): in a local layer, a locally connected one too, the "
        "output is one function of the patch.",
        "two pixels with equal patches and other outputs, beyond rounding",
    ),
    Claim(
        "shared_function",
        "A 3.2",
        "With shared weights it is.",
        "two pixels with equal patches and other outputs of a convolution, beyond rounding",
    ),
    Claim(
        "pooling",
        "A 4.5",
        "2x2 max-pooling reads p in {2i - 1, 2i}, q in {2j - 1, 2j} of its own channel.",
        "an input that counts outside of that window, or never counts inside",
    ),
    Claim(
        "fourier",
        "A 6.3",
        "A convolution can be computed in the frequency domain, where every coefficient depends on "
        "every pixel: it is as local as before.",
        "a derivative outside of the patch that is larger than rounding",
    ),
)


def check(cfg: "DictConfig") -> None:
    """Kernels fit into the image; the chapter's size, 3, is among them."""
    from cnnlab.config import ConfigError

    for i, s in enumerate(cfg.kernels):
        if s > cfg.size:
            raise ConfigError(f"kernels[{i}]: expected an odd size up to {cfg.size}, got {s}")
    if 3 not in cfg.kernels:
        raise ConfigError(f"kernels: expected 3 among them, got {list(cfg.kernels)}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Every layer's Jacobian, one cell each."""
    from experiments import _locality

    size = (cfg.size, cfg.channels)
    tasks, seeds = {}, range(cfg.seed, cfg.seed + cfg.seeds)
    for seed in seeds:
        layers = _locality.layers(*size, list(cfg.kernels), seed)
        for name, layer in layers.items():
            reach = lambda layer=layer, seed=seed: _locality.reach(layer, *size, seed)
            tasks[f"{name}, seed {seed}"] = reach
        for name in SAMPLED:
            equal = lambda one=layers[name]: _locality.equal_patches(one, *size, 3)
            tasks[f"equal patches, {name}, seed {seed}"] = equal
        dense = layers["dense"]
        tasks[f"zeros, seed {seed}"] = lambda one=dense: _locality.dense_zeros(one, *size)
        tasks[f"pooling, seed {seed}"] = lambda at=seed: _locality.pooling_entries(*size, at)
    found = cells.all(tasks)
    of = lambda name: [found[f"{name}, seed {seed}"] for seed in seeds]
    return {
        "layers": {name: of(name) for name in layers},
        "equal_patches": {name: of(f"equal patches, {name}") for name in SAMPLED},
        "dense_zeros": of("zeros"),
        "pooling": of("pooling"),
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Supports entry by entry, radii as numbers; rounding where sums round."""
    layers = data["layers"]
    windows = [r for name, rows in layers.items() for r in rows
               if name.startswith(("convolution", "locally")) and r["full"]]  # fmt: skip
    known = [r for rows in layers.values() for r in rows if r["expected"] is not None]
    dense = layers["dense"]
    unlike = data["equal_patches"]
    zeros, pooling = (
        [sum(column) for column in zip(*data[name], strict=True)]
        for name in ("dense_zeros", "pooling")
    )
    largest = "largest difference of outputs"
    return {
        "patch": exact(
            sum(r["unlike_patch"] for r in windows),
            sum(r["compared"] for r in windows),
            "pairs of output and input pixel",
        ),
        "local": exact(sum(r["radius"] != r["expected"] for r in known), len(known), "radii"),
        "dense": exact(*zeros, "derivatives (zero or not)"),
        "dense_as_printed": at_least(
            max(r["radius"] for r in dense),
            max(r["farthest"] for r in dense) + 1,
            "radius of the dense layer, beyond the image",
        ),
        "dense_radius": exact(
            sum(r["radius"] != r["farthest"] for r in dense), len(dense), "radii of dense layers"
        ),
        "same_function": at_most(
            max(unlike[SAMPLED[1]]), ROUNDING, f"locally connected: {largest}"
        ),
        "shared_function": at_most(max(unlike[SAMPLED[0]]), ROUNDING, f"convolution: {largest}"),
        "pooling": exact(*pooling, "pairs of output and input number"),
        "fourier": at_most(
            max(r["outside"] for r in layers[FFT]), ROUNDING, "largest derivative outside"
        ),
    }


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Each layer's radius and what it depends on."""
    first = {name: rows[0] for name, rows in data["layers"].items()}
    rows = [
        [
            name,
            "" if r["expected"] is None else f"{r['expected']:g}",
            f"{r['radius']:g}",
            f"{r['share']:.1%}",
            f"{r['outside']:.1e}",
            len(data["layers"][name]),
        ]
        for name, r in first.items()
    ]
    header = ["layer", "radius by kernel", "radius", "pairs that depend", "outside", "n"]
    return [Table("Radius in Chebyshev distance, in pixels", header, rows)]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """What the middle output sees; derivatives against distance."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    first = {name: rows[0] for name, rows in data["layers"].items()}
    patches = Figure(figsize=(10, 6.6), layout="constrained")
    shown = [name for name in first if "5x5" not in name and "1x1" not in name][:15]
    axes = patches.subplots(3, 5).ravel()
    for axis, name in zip(axes, shown, strict=False):
        axis.set_facecolor("black")
        image = axis.imshow(first[name]["picture"], cmap="magma", norm=LogNorm(1e-4, 1))
        axis.set_title(f"{name}\nradius {first[name]['radius']:g}", fontsize=8)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.set_visible(bool(axis.images))
    patches.colorbar(image, ax=axes, label="largest |dy / dx|, relative", shrink=0.6)
    lines = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = lines.subplots()
    names = ["dense", "convolution 3x3", "convolution 5x5", FFT, "convolution 3x3, dilation 3"]
    names += [name for name in first if name.startswith("long")]
    for name, marker in zip(names, "os^vDx", strict=True):
        if name in first:
            distance, share = zip(*first[name]["profile"], strict=True)
            axes.plot(distance, [max(v, 1e-10) for v in share], marker + "-", label=name, ms=5)
    axes.axhline(ROUNDING, color="grey", ls=":", label="taken for rounding below")
    axes.set(yscale="log", xlabel="Chebyshev distance from the output's pixel (pixels)")
    axes.set_ylabel("largest |dy / dx|, relative (0 drawn at 1e-10)")
    axes.legend(loc="center right", fontsize=8)
    return {"patches": patches, "profile": lines}


QUESTION = Question(
    name="locality",
    title="How far does a layer look?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="The definition of A 2.3 is loose in two ways. It asks for some radius k, which on a "
    "finite image every layer has: it must be smaller than the image. And it writes the output "
    "as one function f of the patch, which is weight sharing already: locally connected layers, "
    "the chapter's first example, have another function at every pixel. What is meant is that "
    "the output at (i, j) depends on the patch only. A kernel as long as the image with padding "
    "SAME sees half of the image on each side; a normalisation with statistics over space "
    "(group norm) sees all of it.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
