"""Which layers and networks commute with translations? A 3.1, 4.3 to 4.5."""

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from experiments.equivariance.layers import (
    ROUNDING,
    cases,
    error_map,
    global_errors,
    interior,
    layer_errors,
    multiples,
    peak_errors,
    pooling_changes,
)
from experiments.equivariance.networks import CIRCULAR, EXACT, FLAT, NETWORKS, ZEROS, Runner, lost
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data.augment import normalise
from cnnlab.lab import Cells, Count, Counts, DataSet, Positive, Records, Verdict

# Errors of exactly 0 are drawn here, so that a logarithm shows them.
FLOOR = 1e-9
ERROR, CHANGE = "largest relative error", "largest relative change"
MAPS = (
    "convolution, circular", "convolution, zeros", "convolution, reflect", "stride 2, circular",
    "locally connected, zeros",
)  # fmt: skip

question = lab.Question(
    "equivariance",
    "Which layers and networks commute with translations?",
    note="Translations are of a torus, so that f(T x) = T f(x) can be asked of every pixel; a "
    "convolution without padding is judged where nothing wraps around. Three sentences are loose "
    "as printed. A convolution that pads with zeros is equivariant only where its windows stay off "
    "the padding. A stride or a pooling leaves the multiples of the stride. And global pooling "
    "makes a model invariant only as far as what comes before it is equivariant: an ordinary "
    "network, with zero padding and max-pooling, is not. All networks have one learning rate.",
)


@question.check
def check(shifts: Sequence[int]) -> None:
    """The networks' stride, 4, divides one of the shifts."""
    if not any(t % 4 == 0 for t in shifts):
        raise ConfigError(f"shifts: expected a multiple of 4 among them, got {shifts}")


@question.measure(full={"steps": 2000, "images": 2000, "pool_images": 500})
def measure(
    cells: Cells,
    *,
    seed: int,
    shifts: Annotated[Counts, "pixels, along all axes; on a torus"] = (1, 2, 3, 4, 5, 6, 8),
    map_shift: Annotated[Count, "of the picture of where the errors are"] = 5,
    seeds: Annotated[Count, "random layers of each kind, and trained networks"] = 5,
    dataset: Annotated[DataSet, "of the group data, to train on"] = "fashion_mnist",
    steps: Annotated[Count, "of training"] = 1000,
    batch_size: Count = 128,
    lr: Annotated[Positive, "the largest learning rate"] = 0.003,
    images: Annotated[Count, "test images that the networks are compared on"] = 300,
    pool_images: Annotated[Count, "of those, for the change of pooled maps"] = 100,
    pool_window: Annotated[int, "whole number >= 2", "their window"] = 2,
) -> dict[str, Any]:
    """Layers with random weights, pooled maps of test images, then the networks."""
    several = range(seed, seed + seeds)

    @functools.lru_cache(maxsize=1)  # the one before is done: its arrays may go
    def runner(name: str) -> Runner:
        training = {
            "optimizer": "adam", "optimizer.lr": lr, "schedule": "onecycle", "steps": steps,
            "batch_size": batch_size, "limit_eval": images,
        }  # fmt: skip
        return Runner(name, {"data": dataset, **training})

    def changes() -> list[dict[str, Any]]:
        one = runner(EXACT)
        some = normalise(one.images[:pool_images], one.study.data.mean, one.study.data.std)
        return pooling_changes(some, shifts, pool_window, seed)

    baseline = lambda: lab.logistic_regression(runner(EXACT).study.data)
    errors = lambda layer, seed: layer_errors(cases()[layer], shifts, seed)
    where = lambda layer: {"errors": error_map(cases()[layer], map_shift, seed)}
    pools = lambda seed: global_errors(shifts, seed)
    scores = lambda network, seed: list(runner(network).measure(seed, shifts))
    return {
        "map_shift": map_shift,
        "layers": cells.records("errors", errors, layer=cases(), seed=several),
        "maps": cells.records("map", where, layer=MAPS),
        "global_pools": cells.records("global", pools, seed=several),
        "peaks": cells.get("peaks", peak_errors),
        "pooled": cells.get("pooled maps", changes),
        "baseline": 100 * cells.get("logistic regression", baseline),
        "networks": cells.records("scores", scores, network=NETWORKS, seed=several),
    }


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    after = networks.where(when="after", shift=0).by("network", of="accuracy")
    return lab.beats({n: lab.estimate(lab.percent(of)) for n, of in after.items()}, baseline)


@question.answer
def answer(layers: Records, networks: Records) -> str:
    circular = layers.where(kind="convolution", padding="circular")
    flat, pooled = (100 * lab.estimate(lost(networks, name)).mean for name in (FLAT, ZEROS))
    return (
        f"Convolutions with circular padding, to {max(circular['whole']):.0e}; with zeros only "
        f"away from the border. Under shifts a pooled network loses {pooled:.0f} points of "
        f"accuracy, a flattening one {flat:.0f}."
    )


@question.claim(
    "A 3.2, 4.3",
    "an output of a zero-padded convolution that does not move with its input",
    instead="inside",
)
def as_printed(layers: Records) -> Verdict:
    """As printed: convolutional layers are translation equivariant (with zeros around the image,
    padding 'same')."""
    padded = layers.where(kind="convolution", padding="zeros")
    return lab.at_most(max(padded["whole"]), ROUNDING, ERROR)


@question.claim("A 3.2", "such an output that changes by more than rounding")
def inside(layers: Records) -> Verdict:
    """A convolution is translation equivariant with respect to shifts inside the padded region:
    with any padding where no window reaches into it, everywhere with circular padding."""
    convolutions = layers.where(kind="convolution")
    whole, inner = convolutions.where(padding="circular")["whole"], interior(convolutions)
    return lab.all_of(
        lab.at_most(max(whole), ROUNDING, f"circular: {ERROR}"),
        lab.at_most(max(inner), ROUNDING, f"away from padding: {ERROR}"),
    )


@question.claim("A 3.1", "such a layer that does, up to rounding, for some shift")
def unshared(layers: Records) -> Verdict:
    """Locally-connected layers are not translation equivariant; nor are dense layers."""
    rows = layers.where(kind="unshared")
    least = min([*rows["whole"], *interior(rows)])
    return lab.at_least(least, ROUNDING, "smallest relative error of any shift")


@question.claim(
    "A 4.3, 4.7", "an output that is no translation of the unmoved one", instead="strided"
)
def strided_as_printed(layers: Records) -> Verdict:
    """As printed, for a convolution with stride or a pooling too: they are translation
    equivariant."""
    return lab.at_most(max(layers.where(kind="strided")["whole"]), ROUNDING, ERROR)


@question.claim("A 4.7", "such a shift with an error above rounding")
def strided(layers: Records) -> Verdict:
    """Layers of stride s are equivariant to shifts by multiples of s."""
    rows = multiples(layers.where(kind="strided"))
    return lab.at_most(max(rows["whole"]), ROUNDING, f"shifts by multiples: {ERROR}")


@question.claim("A 4.4", "a shift that changes a global sum, mean or maximum by more than rounding")
def global_pooling(global_pools: Records) -> Verdict:
    """Global pooling is translation-invariant over the spatial dimensions."""
    return lab.at_most(max(global_pools["error"]), ROUNDING, CHANGE)


@question.claim("A 4.5", "a place in a window that gives another output")
def peak(peaks: dict[str, int]) -> Verdict:
    """Max-pooling is invariant within each window: a peak may move inside it."""
    return lab.exact(peaks["differ"], peaks["places"], "places of a peak")


@question.claim(
    "A 4.5", "a relative change that is no smaller with pooling, in the mean over images", arms=()
)
def partial(pooled: Records) -> Verdict:
    """Max-pooling is a form of local translation invariance: a shift by one pixel changes the
    pooled map less than the map."""
    least = pooled[0]["shift"]
    changes = pooled.where(shift=least).by("pool", of="changes")
    [without], [with_pooling] = changes["no pooling"], changes["max-pooling"]
    what = f"relative change of a shift by {least} without pooling less that with, images"
    return lab.at_least(lab.paired(without, with_pooling), 0.0, what)


@question.claim(
    "A 4.3, 4.4",
    "scores that a shift changes by more than rounding, on any image",
    instead="network_exact",
)
def network_as_printed(networks: Records) -> Verdict:
    """As printed: reducing over the spatial dimensions makes the model's scores translation
    invariant (a network with zero padding and max-pooling)."""
    changed = networks.where(network=ZEROS, when="after")["change"]
    return lab.at_most(max(changed), ROUNDING, f"{ZEROS}: {CHANGE} of a score")


@question.claim("A 4.3, 4.4", "scores of such a network that change by more than rounding")
def network_exact(networks: Records) -> Verdict:
    """Scores are invariant, trained or not, if every layer has stride 1 and circular padding, and
    for shifts by multiples of the total stride if it has strides."""
    rows = multiples(networks.where(network=(EXACT, CIRCULAR)))
    return lab.at_most(max(rows["change"]), ROUNDING, f"{CHANGE} of a score")


@question.claim(
    "A 4.3, 4.8", "a loss that is no smaller, in the mean over seeds and shifts", arms=(FLAT, ZEROS)
)
def accuracy(networks: Records) -> Verdict:
    """Trained with global pooling, a network loses less accuracy under shifts than with a
    flattening head."""
    more = lab.paired(lost(networks, FLAT), lost(networks, ZEROS))
    return lab.at_least(more, 0.0, "accuracy lost under shifts, flattening less global average")


@question.table
def errors(layers: Records) -> lab.Rows:
    """Largest error |f(T x) - T f(x)|, relative to the largest |f(x)|"""
    for name, rows in layers.by("layer").items():
        whole = rows.by("shift", of="whole")
        yield {
            "layer": name, **{f"shift {t}": f"{max(e):.1e}" for t, e in whole.items()},
            "away from padding": f"{max(interior(rows)):.1e}", "n": len(rows.by("seed")),
        }  # fmt: skip


@question.table
def scores(networks: Records) -> lab.Rows:
    """Networks: largest change of a score; the rest after training, mean over shifts"""
    for name, rows in networks.by("network").items():
        after = rows.where(when="after")
        same = lab.estimate([row["same"] for row in after if row["shift"]])
        accuracy = lab.estimate(after.where(shift=0)["accuracy"])
        less = lab.estimate(lost(networks, name))
        yield {
            "network": name,
            "untrained": f"{max(rows.where(when='before')['change']):.1e}",
            "trained": f"{max(after['change']):.1e}",
            "same class": f"{same.mean:.3f}",
            "accuracy": f"{accuracy:.3f}",
            "accuracy lost": f"{less:.3f}",
            "n": accuracy.n,
        }


@question.table
def maps(pooled: Records) -> lab.Rows:
    """Relative change of rectified maps, mean over images"""
    for name, rows in pooled.by("pool").items():
        means = {f"shift {r['shift']}": f"{lab.estimate(r['changes']).mean:.3f}" for r in rows}
        yield {"after the maps": name, **means, "n": len(rows[0]["changes"])}


@question.figure(10, 7)
def layers(figure: Figure, layers: Records) -> None:
    """The largest error of any seed, a row a layer and a column a shift: over the whole output, and
    away from padding. Dark is equivariant, to rounding."""
    by_layer, shifts = layers.by("layer"), list(layers.by("shift"))
    largest = lambda errors: max((e for e in errors if e is not None), default=np.nan)
    for axes, part, title in zip(
        figure.subplots(1, 2, sharey=True), ("whole", "interior"),
        ("whole output", "away from padding"), strict=True,
    ):  # fmt: skip
        found = [rows.by("shift", of=part).values() for rows in by_layer.values()]
        grid = np.array([[largest(errors) for errors in row] for row in found])
        image = axes.imshow(np.maximum(grid, FLOOR), norm=LogNorm(FLOOR, 1), aspect="auto")
        for (i, j), value in np.ndenumerate(grid):
            text = "0" if value == 0 else f"{value:.0e}" if value <= ROUNDING else f"{value:.1g}"
            text = "" if np.isnan(value) else text
            axes.text(j, i, text, ha="center", va="center", fontsize=7,
                      color="black" if value > 1e-3 else "white")  # fmt: skip
        axes.set(title=title, xlabel="shift (pixels)")
        axes.set_xticks(range(len(shifts)), map(str, shifts))
        axes.set_yticks(range(len(by_layer)), by_layer, fontsize=8)
    figure.colorbar(image, ax=figure.axes, label="largest $|f(Tx) - T f(x)|$, relative", shrink=0.5)


@question.figure(10, 2.7)
def where(figure: Figure, maps: Records, map_shift: int) -> None:
    """Where on the map outputs do not move with their input (bright): at the border, where padding
    comes in; between the strides; everywhere without shared weights."""
    for axes, row in zip(lab.panels(figure, len(maps)), maps, strict=True):
        style = {"norm": LogNorm(FLOOR, 1), "title": row["layer"]}
        image = lab.picture(axes, np.maximum(row["errors"], FLOOR), **style)
    figure.colorbar(image, ax=figure.axes, label="relative error")
    figure.suptitle(f"$|f(Tx) - T f(x)|$ for a shift by {map_shift} pixels, down and right")


@question.figure(10, 4.2)
def networks(figure: Figure, networks: Records) -> None:
    """The change of the scores, and the accuracy, of networks when an image is shifted; mean,
    lowest and highest of the seeds."""
    left, right = figure.subplots(1, 2)
    seen = lambda of: {shift: np.maximum(changes, FLOOR).tolist() for shift, changes in of.items()}
    for (name, rows), marker in zip(networks.by("network").items(), "osD^", strict=True):
        moved = rows.where(lambda r: r["shift"]).pivot("when", "shift", "change")
        line = lab.curve(left, seen(moved["after"]), f"{marker}-", spread="range", label=name, ms=5)
        style = {"color": line.get_color(), "ms": 3, "lw": 1}
        lab.curve(left, seen(moved["before"]), f"{marker}:", **style)
        after = rows.where(when="after").by("shift", of="accuracy")
        percent = {t: lab.percent(shares) for t, shares in after.items()}
        lab.curve(right, percent, f"{marker}-", spread="range", label=name, ms=5)
    left.axhline(ROUNDING, color="grey", lw=1, ls="--", label="rounding")
    left.set(yscale="log", xlabel="shift (pixels)", ylabel="largest change of a score, relative")
    left.set_title("trained (lines) and untrained (dotted)")
    right.set(xlabel="shift (pixels)", ylabel="test accuracy (%)", ylim=(0, 100))
    right.set_title("trained: mean and range over seeds")
    for axes in (left, right):
        axes.legend(fontsize=8)


main = lab.command(question)
