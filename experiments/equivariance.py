"""Which layers and networks commute with translations? A 3.1, 4.3 to 4.5."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, estimate, exact, paired
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Largest error, relative to the largest output, that float32 sums in another order leave: they
# round by 6e-8 a term, and a network's layers add up.
ROUNDING = 1e-5
# The networks of `_equivariance_networks`, as the claims speak of them.
EXACT, CIRCULAR, ZEROS, FLAT = (
    "stride 1, circular, average",
    "pooled, circular, average",
    "pooled, zeros, average",
    "pooled, zeros, flatten",
)
MAPS = (
    "convolution, circular", "convolution, zeros", "convolution, reflect", "stride 2, circular",
    "locally connected, zeros",
)  # fmt: skip

CLAIMS = (
    Claim(
        "as_printed",
        "A 3.2, 4.3",
        "As printed: convolutional layers are translation equivariant (with zeros around the "
        "image, padding 'same').",
        "an output of a zero-padded convolution that does not move with its input",
    ),
    Claim(
        "inside",
        "A 3.2",
        "A convolution is translation equivariant with respect to shifts inside the padded region: "
        "with any padding where no window reaches into it, everywhere with circular padding.",
        "such an output that changes by more than rounding",
    ),
    Claim(
        "unshared",
        "A 3.1",
        "Locally-connected layers do not satisfy this property; nor do dense layers.",
        "such a layer that does, up to rounding, for some shift",
    ),
    Claim(
        "strided_as_printed",
        "A 4.3, 4.7",
        "As printed, for a convolution with stride or a pooling too: they are translation "
        "equivariant.",
        "an output that is no translation of the unmoved one",
    ),
    Claim(
        "strided",
        "A 4.7",
        "Layers of stride s are equivariant to shifts by multiples of s.",
        "such a shift with an error above rounding",
    ),
    Claim(
        "global_pooling",
        "A 4.4",
        "Global pooling is translation-invariant over the spatial dimensions.",
        "a shift that changes a global sum, mean or maximum by more than rounding",
    ),
    Claim(
        "peak",
        "A 4.5",
        "Max-pooling is invariant within each window: a peak may move inside it.",
        "a place in a window that gives another output",
    ),
    Claim(
        "partial",
        "A 4.5",
        "Max-pooling is a form of local translation invariance: a shift by one pixel changes the "
        "pooled map less than the map.",
        "a relative change that is no smaller with pooling, in the mean over images",
    ),
    Claim(
        "network_as_printed",
        "A 4.3, 4.4",
        "As printed: reducing over the spatial dimensions makes the model's scores translation "
        "invariant (a network with zero padding and max-pooling).",
        "scores that a shift changes by more than rounding, on any image",
    ),
    Claim(
        "network_exact",
        "A 4.3, 4.4",
        "It does where every layer has stride 1 and circular padding, and for shifts by multiples "
        "of the total stride where it has strides; before and after training.",
        "scores of such a network that change by more than rounding",
    ),
    Claim(
        "accuracy",
        "A 4.3, 4.8",
        "Trained with global pooling, a network loses less accuracy under shifts than with a "
        "flattening head.",
        "a loss that is no smaller, in the mean over seeds and shifts",
    ),
)


def check(cfg: "DictConfig") -> None:
    """The networks' stride, 4, divides one of the shifts."""
    from cnnlab.config import ConfigError

    if not any(t % 4 == 0 for t in cfg.shifts):
        raise ConfigError(f"shifts: expected a multiple of 4 among them, got {list(cfg.shifts)}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Layers with random weights, pooled maps of test images, then the networks."""
    from experiments._equivariance_networks import collect

    return collect(cfg, cells, MAPS)


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Largest errors against rounding; means of pairs over images and seeds."""
    shifts, layers, runs = data["shifts"], data["layers"], data["networks"]
    whole = lambda row: [e[0] for seed in row["errors"] for e in seed]
    inner = lambda row: [e[1] for seed in row["errors"] for e in seed if e[1] is not None]
    kind = lambda name: [row for row in layers.values() if row["kind"] == name]
    multiples = [
        errors[0]
        for row in kind("strided")
        for seed in row["errors"]
        for t, errors in zip(shifts, seed, strict=True)
        if t % row["stride"] == 0
    ]
    invariant = [
        change
        for name in (EXACT, CIRCULAR)
        for when in ("before", "after")
        for run in runs[name]["runs"]
        for t, change in zip(shifts, run[when]["change"], strict=True)
        if t % runs[name]["stride"] == 0
    ]
    convolutions = kind("convolution")
    circular = [row for row in convolutions if row["padding"] == "circular"]
    padded = [row for row in convolutions if row["padding"] == "zeros"]
    least = min(e for row in kind("unshared") for e in [*whole(row), *inner(row)])
    changed = max(c for run in runs[ZEROS]["runs"] for c in run["after"]["change"])
    error, change = "largest relative error", "largest relative change"
    return {
        "as_printed": at_most(max(e for row in padded for e in whole(row)), ROUNDING, error),
        "inside": all_of(
            at_most(max(e for row in circular for e in whole(row)), ROUNDING, f"circular: {error}"),
            at_most(max(e for row in convolutions for e in inner(row)), ROUNDING,
                    f"away from padding: {error}"),
        ),
        "unshared": at_least(least, ROUNDING, "smallest relative error of any shift"),
        "strided_as_printed": at_most(
            max(e for row in kind("strided") for e in whole(row)), ROUNDING, error
        ),
        "strided": at_most(max(multiples), ROUNDING, f"shifts by multiples: {error}"),
        "global_pooling": at_most(
            max(e for seed in data["global"] for errors in seed.values() for e in errors),
            ROUNDING, change,
        ),
        "peak": exact(*data["peaks"], "places of a peak"),
        "partial": at_least(
            paired(data["pooled"]["no pooling"][0], data["pooled"]["max-pooling"][0]), 0.0,
            f"relative change of a shift by {shifts[0]} without pooling less that with, images",
        ),
        "network_as_printed": at_most(changed, ROUNDING, f"{ZEROS}: {change} of a score"),
        "network_exact": at_most(max(invariant), ROUNDING, f"{change} of a score"),
        "accuracy": at_least(
            paired(losses(runs[FLAT]["runs"]), losses(runs[ZEROS]["runs"])), 0.0,
            "accuracy lost under shifts, flattening less global average",
        ),
    }  # fmt: skip


def losses(runs: list[Mapping[str, Any]]) -> list[float]:
    """Of every seed: accuracy without a shift less the mean over the shifts."""
    accuracy = [run["after"]["accuracy"] for run in runs]
    return [first - sum(others) / len(others) for first, *others in accuracy]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Errors of the layers; change and accuracy of the networks; change of pooled maps."""
    shifts = data["shifts"]
    layers = []
    for name, row in data["layers"].items():
        whole = [max(seed[i][0] for seed in row["errors"]) for i in range(len(shifts))]
        inner = [e[1] for seed in row["errors"] for e in seed if e[1] is not None]
        layers.append([name, *(f"{e:.1e}" for e in whole), f"{max(inner):.1e}", len(row["errors"])])
    networks = []
    for name, row in data["networks"].items():
        runs = row["runs"]
        change = [max(c for run in runs for c in run[w]["change"]) for w in ("before", "after")]
        same = estimate([s for run in runs for s in run["after"]["same"]])
        accuracy = estimate([run["after"]["accuracy"][0] for run in runs])
        lost = estimate(losses(runs))
        networks.append([
            name, *(f"{c:.1e}" for c in change), f"{same.mean:.3f}",
            f"{accuracy.mean:.3f} ± {accuracy.deviation:.3f}",
            f"{lost.mean:.3f} ± {lost.deviation:.3f}", len(runs),
        ])  # fmt: skip
    pooled = [
        [name, *(f"{estimate(values).mean:.3f}" for values in changes), len(changes[0])]
        for name, changes in data["pooled"].items()
    ]
    by_shift = [f"shift {t}" for t in shifts]
    return [
        Table("Largest error |f(T x) - T f(x)|, relative to the largest |f(x)|",
              ["layer", *by_shift, "away from padding", "n"], layers),
        Table("Networks: largest change of a score; the rest after training, mean over shifts",
              ["network", "untrained", "trained", "same class", "accuracy", "accuracy lost", "n"],
              networks),
        Table("Relative change of rectified maps, mean over images",
              ["after the maps", *by_shift, "n"], pooled),
    ]  # fmt: skip


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Errors by layer and shift; where they are; networks."""
    from experiments._equivariance_report import error_maps, layer_errors, network_curves

    return {
        "layers": layer_errors(data, ROUNDING),
        "where": error_maps(data),
        "networks": network_curves(data, ROUNDING),
    }


QUESTION = Question(
    name="equivariance",
    title="Which layers and networks commute with translations?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="Translations are of a torus, so that f(T x) = T f(x) can be asked of every pixel; a "
    "convolution without padding is judged where nothing wraps around. Three sentences are loose "
    "as printed. A convolution that pads with zeros is equivariant only where its windows stay off "
    "the padding. A stride or a pooling leaves the multiples of the stride. And global pooling "
    "makes a model invariant only as far as what comes before it is equivariant: an ordinary "
    "network, with zero padding and max-pooling, is not.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
