"""A data set for a reader: one HTML page that needs nothing else."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import jinja2
import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab.data import Dataset
from cnnlab.data.augment import Augmentation, augment, normalise
from cnnlab.data.batches import Batch
from cnnlab.data.inspection import Inspection, sample, shown
from cnnlab.data.perturb import Perturbation, Perturbed, ordered
from cnnlab.display import inline
from cnnlab.files import png
from cnnlab.lab.drawing import panels, picture


def samples(
    data: Dataset,
    of_batches: Sequence[Augmentation],
    of_pictures: Sequence[Perturbation],
    *,
    count: int,
    draws: int,
    seed: int,
) -> Figure:
    """Training examples, each in a row: as it is, and after `draws` draws of the augmentation."""
    places = sample(data, count)
    raw, label = data.train.take(places)
    columns = [np.asarray(normalise(raw, data.mean, data.std))]
    for epoch in range(draws if of_batches or of_pictures else 0):
        changed = raw
        if of_pictures:
            change = Perturbed(ordered(of_pictures), seed, epoch)
            changed, _ = data.train.perturbed(places, change)
        targets = jax.nn.one_hot(label, data.num_classes) if label.ndim == 1 else label
        image = normalise(changed, data.mean, data.std)
        batch = Batch(image, jnp.asarray(targets, jnp.float32), places.astype(np.int32))
        key = jr.fold_in(jr.key(seed), epoch)
        columns.append(np.asarray(augment(of_batches, batch, key=key, epoch=epoch).image))
    if data.vocabulary is None:
        values = [column * data.std + data.mean for column in columns]
    else:  # tokens, which nothing augments
        values = [raw[..., None]]
    low, high = (0, data.high) if data.high is not None else (values[0].min(), values[0].max())
    rows, across = len(places), len(columns)
    figure = Figure(figsize=(1.6 * across + 0.4, 1.7 * rows), layout="constrained")
    axes = panels(figure, rows * across, rows)
    for row in range(rows):
        name = data.class_names[label[row]] if label.ndim == 1 else f"example {places[row]}"
        for column in range(across):
            title = name if column == 0 else f"draw {column}" if row == 0 else ""
            _show(axes[row * across + column], values[column][row], low, high, title)
    return figure


def _show(
    axes: Axes, image: Shaped[np.ndarray, "*spatial c"], low: Any, high: Any, title: str
) -> None:
    """A sequence as curves, a picture, or the middle of a volume."""
    if image.ndim == 2:
        axes.plot(image, lw=0.8)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
        return
    while image.ndim > 3:
        image = image[len(image) // 2]
    image = image if image.shape[-1] in (3, 4) else image[..., 0]
    picture(axes, shown(image, low, high), title=title, cmap="gray", vmin=0, vmax=1)


def page(data: Dataset, found: Inspection, figure: Figure, augmentations: Sequence[str]) -> str:
    """The page.

    **Arguments:** `figure`, of `samples`; `augmentations`, the names of what was applied.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("cnnlab.lab") / "inspection.html.jinja"
    return environment.from_string(template.read_text()).render(
        data=data,
        found=found,
        warnings=found.warnings(data),
        samples=inline(png(figure, dpi=100)),
        augmentations=augmentations,
        classes=[
            (name, [int(counts[k]) for counts in found.counts.values()])
            for k, name in enumerate(data.class_names if found.counts else ())
        ],
        channels=[
            (k, [(float(m[k]), float(s[k])) for m, s in found.statistics.values()])
            for k in range(len(data.mean))
        ],
    )
