"""Does a fully-connected network come to localise and share its weights? (B 10.1, 10.2)"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import jax.random as jr
import numpy as np
from experiments.localising.fields import LOCAL, alike, concentration, covered, local, moved
from experiments.localising.ring import GAUSSIAN, INPUTS, ROTATED, SHARP, Task, task, train
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset, from_arrays
from cnnlab.lab import Cells, Count, Positive, Rates, Records, Study, Verdict

IMAGES = "images"
POINTS = 0.03  # of the ring: the interval of what fields cover is to be as narrow
SAME = 1.1  # times as concentrated: no more than before, within a tenth
WINDOW = 7  # pixels on a side: a large kernel of a convolution
Lengths = Annotated[Sequence[float], "list of 2 numbers > 0"]

question = lab.Question(
    "localising",
    "Given all the data, does a fully-connected network come to localise and share its weights?",
    note="The task is Ingrosso and Goldt's (PNAS 2022): to tell two classes of inputs on a ring by "
    "their correlation length. They are normals, of which erf makes edges; or, as a control, "
    "normals of the same covariance. Every step has new inputs, and SGD trains the weights and "
    "biases of units whose mean is the answer. A unit's receptive field is its weights; n times "
    "their inverse participation ratio is 3 for random ones, and a field is called local from 6 "
    "on. The images' network is trained by SGD, too, on all that there are.",
)


@question.check
def check(pixels: int, lengths: Sequence[float], batch_size: int) -> None:
    """The ring is longer than the correlations, and batches have as many inputs of each class."""
    if max(lengths) > pixels / 8:
        raise ConfigError(f"lengths: expected up to pixels / 8 = {pixels / 8:g}, got {lengths}")
    if batch_size % 2:
        raise ConfigError(f"batch_size: expected an even number, got {batch_size}")


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "steps": 4000, "rates": [0.02, 0.05, 0.1], "width": 512, "image_steps": 6000,
        "image_rates": [0.02, 0.05, 0.1],
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    pixels: Annotated[Count, "of the ring"] = 100,
    lengths: Annotated[Lengths, "of the correlations of each class, in pixels"] = (4.5, 0.1),
    gain: Annotated[Positive, "how sharp the edges are: of z in erf(gain z)"] = 3.0,
    units: Annotated[Count, "hidden ones"] = 100,
    steps: Annotated[Count, "of training on the ring"] = 2000,
    batch_size: Annotated[Count, "inputs on the ring"] = 500,
    rates: Annotated[Rates, "SGD's on the ring: each kind of inputs has the best one"] = (0.05,),
    seeds: Annotated[Count, "networks of each kind, and more while the intervals are wide"] = 5,
    most_seeds: Annotated[Count, "but no more than these"] = 10,
    width: Annotated[Count, "hidden units of the images' network"] = 256,
    image_steps: Annotated[Count, "batches of 64 images"] = 2000,
    image_rates: Annotated[Rates, "SGD's for the images: the best one"] = (0.05,),
) -> dict[str, Any]:
    """What the receptive fields are before and after training, on the ring and on images."""
    if len(data.input_shape) != 3 or data.input_shape[-1] != 1:
        raise ConfigError(f"data: expected images of one channel, got {data.input_shape}")
    ring = functools.partial(task, pixels=pixels, lengths=lengths, gain=gain)
    fit = functools.partial(train, units=units, steps=steps, batch_size=batch_size)

    def rate(inputs: str) -> float:
        one = ring(inputs, seed=seed + 10_000)
        score = lambda rate: -float(fit(one, jr.key(seed + 10_000), rate)[2])
        return cells.get(f"rate: {inputs}", lambda: lab.best_rate(rates, score))

    def on_ring(seed: int, inputs: str) -> dict[str, Any]:
        one = ring(inputs, seed=seed)
        before, after, _, accuracy = fit(one, jr.key(seed), rate(inputs))
        weight = np.asarray(after.weight, np.float64)
        back = weight @ one.rotation.T
        found = back[local(back)]
        return {
            "before": concentration(before.weight).mean(), "after": concentration(weight).mean(),
            "back": concentration(back).mean(), "local": local(back).mean(),
            "spread": float(pixels / concentration(found).mean()) if len(found) else float(pixels),
            "covered": covered(found), "alike": alike(found), "accuracy": 100 * float(accuracy),
            "fields": back[np.argsort(np.abs(back).argmax(1))].round(3).tolist(),
        }  # fmt: skip

    @functools.cache
    def study() -> Study:
        settings = {
            "backbone": "mlp", "backbone.widths": [width], "optimizer": "sgd",
            "schedule": "onecycle", "steps": image_steps, "batch_size": 64,
        }  # fmt: skip
        tuned = lambda: lab.tuned(settings, image_rates, seed=seed + 10_000, data=data)
        return Study({**settings, "optimizer.lr": cells.get("rate: images", tuned)}, data=data)

    def on_images(seed: int) -> dict[str, Any]:
        after = study().train(seed)
        found = study().evaluate(after)
        models = study().initial(seed)[0], after.model
        fields = [first_layer(model, *data.input_shape) for model in models]
        flat = [images.reshape(len(images), -1) for images in fields]
        return {
            "spread": [float((of.shape[1] / concentration(of)).mean()) for of in flat],
            "near": [moved(of, 1) for of in fields], "accuracy": 100 * found.accuracy,
            "far": [moved(of, data.input_shape[0] // 2) for of in fields],
        }  # fmt: skip

    narrow = lambda found: (
        lab.estimate(found.where(inputs=SHARP)["covered"]).narrow(POINTS)
        and times(found, GAUSSIAN).narrow(SAME - 1)
        and times(found, ROTATED, "after").narrow(SAME - 1)
    )
    several = {"first": seed, "least": seeds, "most": most_seeds}
    on_rings = cells.seeds("ring", on_ring, narrow, **several, inputs=INPUTS)
    return {
        "ring": on_rings,
        "images": cells.records("images", on_images, seed=on_rings.by("seed")),
        "pixels": pixels,
        "baselines": {
            "ring": cells.get("linear, ring", lambda: linear(ring(SHARP, seed=seed), seed)),
            "images": cells.get("linear, images", lambda: lab.logistic_regression(study().data)),
        },
    }


def linear(task: Task, seed: int) -> float:
    """The accuracy of logistic regression on the inputs of a ring."""
    x, y = task.draw(jr.key(seed), 4000)
    half = np.arange(len(y)) % 2 > 0
    found = np.asarray(x)[..., None], (np.asarray(y) > 0).astype(int)
    train, test = (tuple(of[part] for of in found) for part in (half, ~half))
    return lab.logistic_regression(from_arrays(train, test, channels="last", val_fraction=0))


def first_layer(model: Any, height: int, width: int, channels: int) -> np.ndarray:
    """The fields of an MLP's first hidden units, `(k, h, w)`."""
    weight = np.asarray(model.backbone.stages[0][0].weight, np.float64)
    return weight.T.reshape(-1, height, width, channels)[..., 0]


def times(ring: Records, inputs: str, basis: str = "back") -> lab.Estimate:
    """How many times as concentrated as before training the fields are, in the mean over units: as
    they are given, or turned back to the pixels of the ring."""
    rows = ring.where(inputs=inputs)
    return lab.estimate([row[basis] / row["before"] for row in rows])


@question.learnt
def learnt(ring: Records, images: Records, baselines: dict[str, float]) -> dict[str, Verdict]:
    found = {inputs: lab.estimate(of) for inputs, of in ring.by("inputs", of="accuracy").items()}
    of_images = {IMAGES: lab.estimate(images["accuracy"])}
    beaten = lab.beats(found, 100 * baselines["ring"])
    return beaten | lab.beats(of_images, 100 * baselines["images"])


@question.answer
def answer(ring: Records, images: Records, pixels: int) -> str:
    mean = lambda of: lab.estimate(of).mean
    found = ring.where(inputs=SHARP)
    before, after = np.mean(images["spread"], 0)
    share = lambda inputs: f"{100 * mean(ring.where(inputs=inputs)['local']):.0f} %"
    return (
        f"On a ring, yes: {share(SHARP)} of the units become local, on {mean(found['spread']):.0f} "
        f"of {pixels} pixels, and one another moved (cosine {mean(found['alike']):.2f}); from "
        f"normals of the same covariance {share(GAUSSIAN)}. On images, no: a unit's field is "
        f"spread over {after:.0f} pixels, {before:.0f} before training."
    )


@question.claim(
    "B 10.2; arXiv:2202.00565", "fields that are less than twice as concentrated", arms=(SHARP,)
)
def localised(ring: Records) -> Verdict:
    """Fully-connected networks "can learn a convolutional structure directly from their inputs":
    training makes receptive fields twice as concentrated, or more, in the mean over the units."""
    return lab.at_least(times(ring, SHARP), LOCAL, "concentration after / before training")


@question.claim("arXiv:2202.00565", "local fields that leave a tenth of the ring", arms=(SHARP,))
def tiling(ring: Records) -> Verdict:
    """They are "localised, space-tiling receptive fields": the local ones cover nine tenths of the
    ring (where a field has half its largest weight)."""
    found = lab.estimate(ring.where(inputs=SHARP)["covered"])
    return lab.at_least(found, 0.9, "share of the ring that local fields cover")


@question.claim("B 10.2", "local fields that are less alike than that", arms=(SHARP,))
def shared(ring: Records) -> Verdict:
    """Training is "free to zero out some weights and also achieve weight-sharing by assigning the
    same values to groups of weights": the local fields are one field, moved (a cosine of 0.9, in
    the mean over pairs)."""
    found = lab.estimate(ring.where(inputs=SHARP)["alike"])
    return lab.at_least(found, 0.9, "cosine of local fields moved onto one another")


@question.claim("arXiv:2202.00565", "more concentrated fields than random ones", arms=(GAUSSIAN,))
def gaussian(ring: Records) -> Verdict:
    """This "is triggered by the non-Gaussian, higher-order local structure of the inputs": from
    normals of the same covariance fields get no more concentrated than they were, by a tenth."""
    found = times(ring, GAUSSIAN)
    return lab.at_most(found, SAME, "Gaussian: concentration after / before training")


@question.claim(
    "B 10.2", "fields that are local in the given basis, or not so turned back", arms=(ROTATED,)
)
def rotated(ring: Records) -> Verdict:
    """SGD from Gaussian weights "has no inherent preference for any coordinate basis": of inputs
    that are rotated, fields are no more concentrated than they were, and local turned back."""
    given, back = times(ring, ROTATED, "after"), times(ring, ROTATED)
    return lab.all_of(
        lab.at_most(given, SAME, "rotated: concentration after / before training"),
        lab.at_least(back, LOCAL, "the same, turned back"),
    )


@question.claim("B 10.2", f"fields on {WINDOW}x{WINDOW} pixels, or fewer", arms=(IMAGES,))
def spread(images: Records) -> Verdict:
    """FC nets "struggle with image tasks in practice", where they do not come to it: with all
    images to train on, a unit's field is spread over more pixels than a 7x7 kernel has (1 / inverse
    participation ratio)."""
    found = lab.estimate([after for _, after in images["spread"]])
    return lab.at_least(found, WINDOW**2, "pixels that a field is spread over")


@question.claim("B 10.1", "fields that are no smoother than far pixels are alike", arms=(IMAGES,))
def nearby(images: Records) -> Verdict:
    """An MLP "must learn from scratch that pixels nearby are more related than pixels far apart",
    and it does: after training the weights of neighbours are more alike than those of pixels half
    an image apart."""
    ends = zip(images["near"], images["far"], strict=True)
    found = lab.estimate([near[1] - far[1] for near, far in ends])
    return lab.at_least(found, 0.0, "cosine of a field moved by a pixel - by half an image")


@question.table
def on_the_ring(ring: Records) -> lab.Rows:
    """{pixels} pixels; concentration: n times the inverse participation ratio, mean of the units"""
    for inputs, rows in ring.by("inputs").items():
        show = lambda name, spec=".2f", rows=rows: f"{lab.estimate(rows[name]):{spec}}"
        yield {
            "inputs": inputs, "accuracy, %": show("accuracy"),
            "concentration before": show("before"), "after training": show("after"),
            "turned back": show("back"), "local units": show("local"),
            "pixels of a local field": show("spread", ".1f") if any(rows["local"]) else "",
            "cover": show("covered"), "alike": show("alike", ".3f"), "n": len(rows),
        }  # fmt: skip


@question.table
def on_images(images: Records) -> lab.Rows:
    """The first layer of an MLP on images, before and after training"""
    for i, when in enumerate(("before", "after")):
        of = lambda name, i=i: lab.estimate([pair[i] for pair in images[name]])
        yield {
            "training": when, "pixels of a field": f"{of('spread'):.1f}",
            "cosine, moved by a pixel": f"{of('near'):.3f}",
            "by half an image": f"{of('far'):.3f}", "n": len(images),
        }  # fmt: skip


@question.figure(9, 3.2)
def receptive_fields(figure: Figure, ring: Records) -> None:
    """Receptive fields of one network of each kind, on the ring: every second unit a row, by the
    place of its largest weight; of rotated inputs turned back."""
    for axes, inputs in zip(lab.panels(figure, len(INPUTS)), INPUTS, strict=True):
        weight = np.array(ring.where(inputs=inputs)[0]["fields"][::2])
        most = np.abs(weight).max()
        style = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "interpolation": "nearest"}
        lab.picture(axes, weight, title=inputs, aspect="auto", **style)
        axes.set(xlabel="pixel", ylabel="unit")


main = lab.command(question)
