"""What do the filters of a trained network respond to, and where? A 3.6."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab import lab, nn
from cnnlab.analysis import activations
from cnnlab.config import ConfigError, load_run
from cnnlab.data import Dataset
from cnnlab.data.augment import normalise
from cnnlab.lab import Cells, Count, Counts, DataSet, Plan, Records, Rows, Study, Verdict
from cnnlab.models import Classifier

# Largest relative error of float32 sums in another order; a fast algorithm (F(4, 3)) that a layer
# may be computed by multiplies its roundings.
ROUNDING = 1e-5
Place = Annotated[str | None, "path or null"]

question = lab.Question(
    "activation_maps",
    "What do the filters of a trained network respond to, and where?",
    note="A map behind poolings or strides keeps the layout at its own resolution: it moves by "
    "whole positions, so only with images that move by multiples of its stride. Zeros around the "
    "image mark the border: the maps are compared where they do not see it.",
)


@dataclass(frozen=True)
class Examples:
    """Where the examples of a run are."""

    data_dir: Annotated[Place, "where its data set is prepared"] = None
    source: Annotated[Place, "its files"] = None
    root: Annotated[Place, "the folder of its pictures"] = None
    file: Annotated[Place, "that of its arrays, or that lists its pictures"] = None


EXAMPLES = Examples()


@question.measure(full={"steps": 3000, "images": 10, "steps_moved": [1, 2, 3, 5]})
def measure(
    cells: Cells,
    *,
    seed: int,
    trust: Sequence[str],
    run: Annotated[Place, "run directory; null: a small network, trained now"] = None,
    checkpoint: Annotated[str, "one of last, best or path", "of the run, or a file"] = "last",
    data: Annotated[Examples, "of the run, given again where it was given"] = EXAMPLES,
    dataset: Annotated[DataSet, "without a run: what is trained on,"] = "fashion_mnist",
    plan: Annotated[Plan, "with which backbone,"] = (16, "M", 32, 32, "M", 64),
    steps: Annotated[Count, "for how many steps,"] = 300,
    batch_size: Annotated[Count, "of how many examples"] = 128,
    images: Annotated[Count, "test images, each of another class"] = 6,
    filters: Annotated[Count, "of the first layer, to show"] = 12,
    channels: Annotated[Count, "of every stage, to show: those that vary most"] = 5,
    steps_moved: Annotated[Counts, "by which images are moved, of the last stage"] = (1, 2),
) -> dict[str, Any]:
    """The maps of the network of a run, or of a small one trained now, as one cell."""

    def maps() -> dict[str, Any]:
        if run is None:
            network = small_network(dataset, plan, steps, batch_size, seed)
        else:
            network = network_of(run, checkpoint, data, trust)
        model, state, known, about = network
        layer = activations.first_layer(model)
        raw, label = known.test.take(first_of_classes(known, images))
        xs = normalise(raw, known.mean, known.std)
        first, stages = activations.activation_maps(model, state, xs)
        found: dict[str, Any] = {"errors": [], "filters": [], "unlike": [0, 0], "layout": []}
        if isinstance(layer, nn.Conv):  # a locally connected layer takes no other size
            found["errors"] = correlation_errors(layer, xs, first)
            found["filters"] = filters_with_maps(layer, first, filters)
            found["unlike"] = activations.template_errors(layer, seed=seed)
            found["layout"] = list(moved_errors(network, xs, raw.dtype, steps_moved))
        pixels = np.asarray(raw, np.float64).round(3).tolist()
        names = [known.class_names[i] for i in label]
        return {
            **found,
            "about": about,
            "white": known.high or float(np.abs(raw).max()),
            "images": [{"label": n, "pixels": p} for n, p in zip(names, pixels, strict=True)],
            "stages": list(stage_maps(network, stages, channels)),
        }

    return cells.get("maps", maps)


class Network(NamedTuple):
    """A trained network, its data, and in words where it comes from."""

    model: Classifier
    state: eqx.nn.State
    data: Dataset
    about: str


def small_network(
    dataset: str, plan: Sequence[int | str], steps: int, batch_size: int, seed: int
) -> Network:
    study = Study({
        "data": dataset, "backbone": "vgg", "backbone.plan": plan, "norm": "batch",
        "head": "linear", "optimizer": "adam", "optimizer.lr": 0.003, "schedule": "onecycle",
        "steps": steps, "batch_size": batch_size,
    })  # fmt: skip
    trained = study.train(seed)
    accuracy = study.evaluate(trained).accuracy
    about = f"{steps} steps on {study.data.name}, test accuracy {100 * accuracy:.1f} %"
    return Network(trained.model, trained.state, study.data, about)


def network_of(run: str, checkpoint: str, data: Examples, trust: Sequence[str]) -> Network:
    """**Raises:** `ConfigError` where the run's network has no maps."""
    experiment = load_run(run, checkpoint=checkpoint, trust=trust, **asdict(data))
    backbone = experiment.model.backbone
    if len(backbone.out_shape) < 2 or not isinstance(backbone.stages[0], nn.ConvBlock):
        name = type(backbone).__name__
        raise ConfigError(f"run: expected a network with convolutions, got {name}")
    model, state, step = experiment.trained(checkpoint)
    about = f"run {experiment.settings.name}, step {step}"
    return Network(model, state, experiment.data, about)


def first_of_classes(data: Dataset, count: int) -> np.ndarray:
    """Positions in the test split: the first example of each of the first `count` classes."""
    _, label = data.test.take(np.arange(len(data.test)))
    return np.unique(label, return_index=True)[1][:count]


def correlation_errors(layer: nn.Conv, xs: Array, first: Array) -> list[float]:
    """How far each of the first layer's maps is from a correlation, relative to its largest."""
    expected = np.stack([activations.correlation_maps(layer, x) for x in xs])
    places = tuple(range(expected.ndim - 1))
    error = np.abs(np.asarray(first) - expected).max(places)
    return (error / np.maximum(np.abs(expected).max(places), np.finfo(np.float32).tiny)).tolist()


def filters_with_maps(layer: nn.Conv, first: Array, count: int) -> list[dict[str, Any]]:
    """Weights of the first filters, and their map of each image."""
    weights, maps = (np.moveaxis(np.asarray(a), -1, 0)[:count] for a in (layer.weight, first))
    rounded = zip(weights.round(4).tolist(), maps.round(3).tolist(), strict=True)
    return [{"weights": weight, "maps": of} for weight, of in rounded]


def moved_errors(
    network: Network, xs: Array, dtype: np.dtype, steps_moved: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """How far the maps of every stage are from moving with each image, on a black background."""
    model, state, data, _ = network
    background = normalise(np.zeros(data.input_shape[-1], dtype), data.mean, data.std)
    for image, x in enumerate(xs):
        for steps in steps_moved:
            errors = activations.layout_errors(model, state, x, background, steps)
            for stage, error in enumerate(errors):
                yield {"image": image, "steps": steps, "stage": stage, "error": error}


def stage_maps(network: Network, stages: Sequence[Array], count: int) -> Iterator[dict[str, Any]]:
    """Of every stage its geometry, and the channels with the largest deviation over the images."""
    model, state, data, _ = network
    fields = activations.stage_fields(model, data.input_shape, state)
    for field, stage in zip(fields, map(np.asarray, stages), strict=True):
        deviation = stage.std(tuple(range(stage.ndim - 1)))
        order = np.argsort(-deviation, kind="stable")[:count]
        yield {
            "name": field.path.split(".")[0], "shape": list(stage.shape[1:]),
            "stride": field.stride[0], "field": field.size[0],
            "zeros": float((stage == 0).mean()), "channels": order.tolist(),
            "maps": stage[..., order].round(3).tolist(),
        }  # fmt: skip


def within_rounding(errors: Sequence[float], what: str) -> Verdict:
    if not errors:
        return lab.exact(0, 0, what)
    largest = f"largest of {len(errors)} {what}, relative error"
    return lab.at_most(max(errors), ROUNDING, largest)


@question.answer
def answer(stages: Records, about: str) -> str:
    first, last = stages[0], stages[-1]
    return (
        f"Each map is the correlation of the image with a filter, from {first['field']} pixels "
        f"wide in the first stage to {last['field']} in the last ({about})."
    )


@question.claim(
    "A 3.5, 3.6",
    "a map of the first layer that differs from scipy's correlation by more than rounding",
)
def correlation(errors: Sequence[float]) -> Verdict:
    """The activation map H[:, :, z] is the correlation of the image with filter z (and the
    bias)."""
    return within_rounding(errors, "maps of the first layer")


@question.claim(
    "A 3.6",
    "a filter, written into an empty image, whose map is not largest where it was written",
)
def response(unlike: Sequence[int]) -> Verdict:
    """An activation map shows how strongly its filter responds at each spatial location."""
    return lab.exact(*unlike, "filters", "respond most strongly elsewhere")


@question.claim(
    "A 3.6", "a map that differs from the moved one by more than rounding, off the border"
)
def layout(layout: Records) -> Verdict:
    """The layers preserve spatial structure: where the image moves, the maps of every stage move
    with it (by whole positions of the last stage)."""
    return within_rounding([row["error"] for row in layout], "maps of moved images")


@question.table
def stage_rows(stages: Records, layout: Records) -> Rows:
    """Stages: {about}"""
    for i, stage in enumerate(stages):
        errors = [row["error"] for row in layout if row["stage"] == i]
        yield {
            "stage": stage["name"], "maps": " x ".join(map(str, stage["shape"])),
            "stride": stage["stride"], "receptive field": stage["field"],
            "zeros": f"{100 * stage['zeros']:.0f} %",
            "error when moved": f"{max(errors):.1e}" if errors else "", "n": len(errors),
        }  # fmt: skip


@question.figure(10, 6)
def filters(figure: Figure, filters: Records, images: Records, white: float) -> None:
    """The filters of the first layer, a column each, and below the map of each image: red where it
    responds, blue where its negative would."""
    if not filters:
        return
    rows, columns = 1 + len(images), 1 + len(filters)
    figure.set_size_inches(10, 0.55 + 9.4 * rows / columns)
    grid = image_grid(figure, images, white, columns, above=1)
    grid[0, 0].set_axis_off()
    for j, row in enumerate(filters, 1):
        weights, maps = np.array(row["weights"]), np.array(row["maps"])
        shown = [weights.mean(-1), *maps]  # of several input channels, their mean
        limits = [np.abs(weights).max(), *[np.abs(maps).max()] * len(maps)]
        for axes, values, limit in zip(grid[:, j], shown, limits, strict=True):
            show(axes, values, "RdBu_r", -limit, limit)
        grid[0, j].set_title(f"filter {j - 1}", fontsize=8)
    figure.suptitle("First layer: filters and their maps (red above zero, blue below)", fontsize=10)


@question.figure(11, 6)
def stages(figure: Figure, stages: Records, images: Records, white: float, about: str) -> None:
    """What is left of each image, a row each: the channels of every stage that vary most, at the
    stage's resolution (bright: large)."""
    columns = 1 + sum(map(len, stages["channels"]))
    figure.set_size_inches(11, 0.7 + 10 * len(images) / columns)
    grid = image_grid(figure, images, white, columns)
    column = 1
    for stage in stages:
        shape = " x ".join(map(str, stage["shape"][:-1]))
        grid[0, column].set_title(f"{stage['name']}: {shape}\n ", fontsize=8, loc="left")
        for channel, maps in zip(stage["channels"], np.moveaxis(stage["maps"], -1, 0), strict=True):
            for axes, values in zip(grid[:, column], maps, strict=True):
                show(axes, values, "magma", maps.min(), maps.max())
            grid[0, column].set_title(f"{channel}", fontsize=7)
            column += 1
    figure.suptitle(f"Stages and channels: {about}", fontsize=10)


def image_grid(
    figure: Figure, images: Records, white: float, columns: int, above: int = 0
) -> np.ndarray:
    """Axes without ticks, the images in their first column, below so many rows."""
    grid = figure.subplots(above + len(images), columns, squeeze=False)
    for axes, row in zip(grid[above:, 0], images, strict=True):
        pixels = np.array(row["pixels"])
        if pixels.ndim == 3 and pixels.shape[-1] == 3:
            axes.imshow(pixels / white)
        else:
            show(axes, pixels[..., 0], "gray", pixels.min(), pixels.max())
        axes.set_ylabel(row["label"], fontsize=8)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
    return grid


def show(axes: Axes, values: np.ndarray, cmap: str, low: float, high: float) -> None:
    """A map: an image, or a curve over a sequence; of a volume its middle slice."""
    if values.ndim == 1:
        axes.plot(values, lw=0.8, color="C0")
        axes.axhline(0, color="grey", lw=0.4)
        room = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
    else:
        values = values if values.ndim == 2 else values[len(values) // 2]
        axes.imshow(values, cmap=cmap, vmin=low, vmax=high)


main = lab.command(question, examples=("", "run=outputs/...", "scale=full"))

if __name__ == "__main__":
    main()
