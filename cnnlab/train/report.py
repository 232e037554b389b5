"""Pictures of a run: curves and the confusion matrix, as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.files import lend_matplotlib_a_folder, write_figure
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.metrics import read_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _figure(width: float, height: float) -> "Figure":
    lend_matplotlib_a_folder()
    from matplotlib.figure import Figure  # takes half a second: not before the first step

    return Figure(figsize=(width, height), layout="constrained")


def curves(metrics: Path, path: Path) -> None:
    """Loss and accuracy against the step, training and validation, from a `metrics.jsonl`."""
    records = read_lines(metrics)
    figure = _figure(9.0, 3.6)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for kind, style in (("train", "-"), ("val", "o-")):
            points = [(r["step"], r[name]) for r in records if r["kind"] == kind]
            if points:
                label = {"train": "training", "val": "validation"}[kind]
                # A line of one point has no length.
                style = "o-" if len(points) == 1 else style
                axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1.2, ms=4)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_xlabel("step")
        axes.set_ylabel("cross-entropy (nats)" if name == "loss" else name)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    write_figure(path, figure)


def confusion(evaluation: Evaluation, class_names: Sequence[str], path: Path) -> None:
    """The confusion matrix: rows are true classes, columns predictions, in % of the row."""
    counts = evaluation.confusion()
    percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    k = len(counts)
    size = max(4.0, 0.55 * k) if k <= 20 else 9.0
    figure = _figure(size + 1.2, size)
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="% of the true class")
    if k <= 20:  # beyond, the writing would not be readable
        axes.set_xticks(range(k), class_names, rotation=45, ha="right")
        axes.set_yticks(range(k), class_names)
        for i, j in np.ndindex(k, k):
            if counts[i, j]:
                colour = "white" if percent[i, j] > 50 else "black"
                text = f"{percent[i, j]:.1f}"
                axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"accuracy {evaluation.accuracy:.4f}, n = {len(evaluation.label)}")
    write_figure(path, figure)


def per_class(evaluation: Evaluation, class_names: Sequence[str]) -> str:
    """A table: class, examples, recall, precision, what it is most often taken for."""
    counts = evaluation.confusion()
    width = max(len("class"), *(len(name) for name in class_names))
    rows = [f"{'class':<{width}}  examples  recall  precision  most often taken for"]
    for i, name in enumerate(class_names):
        n, right, named = counts[i].sum(), counts[i, i], counts[:, i].sum()
        wrong = np.where(np.arange(len(counts)) == i, -1, counts[i])
        other = f"{class_names[int(wrong.argmax())]} ({wrong.max()})" if wrong.max() > 0 else "-"
        recall = f"{right / n:6.4f}" if n else "     -"
        precision = f"{right / named:9.4f}" if named else "        -"
        rows.append(f"{name:<{width}}  {n:8d}  {recall}  {precision}  {other}")
    return "\n".join(rows)
