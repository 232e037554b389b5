"""What a run shows of itself: curves and, of an evaluation, a picture and a table of its task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.files import lend_matplotlib_a_folder, write_figure
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.metrics import read_lines
from cnnlab.train.scores import auroc_each

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _figure(width: float, height: float) -> "Figure":
    lend_matplotlib_a_folder()
    from matplotlib.figure import Figure  # takes half a second: not before the first step

    return Figure(figsize=(width, height), layout="constrained")


Points = Sequence[tuple[float | int, float | int]]


def curves(metrics: Path, path: Path, score: str = "accuracy") -> None:
    """The loss and a score against the step, training and validation, from a `metrics.jsonl`."""
    records, found = read_lines(metrics), {}
    for name in ("loss", score):
        of = lambda kind, n=name: [
            (r["step"], r[n]) for r in records if r["kind"] == kind and n in r
        ]
        found[name] = {"training": of("train"), "validation": of("val")}
    write_figure(path, drawn_curves(found))


def drawn_curves(curves: Mapping[str, Mapping[str, Points]]) -> "Figure":
    """Panels by name, and in each the points of training and validation against the step."""
    figure = _figure(4.5 * len(curves), 3.6)
    panels = np.ravel(figure.subplots(1, len(curves)))
    for axes, (name, kinds) in zip(panels, curves.items(), strict=True):
        for label, points in kinds.items():
            if len(points):
                # A line of one point has no length.
                style = "o-" if len(points) == 1 or label == "validation" else "-"
                axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1.2, ms=4)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_xlabel("step")
        axes.set_ylabel(name.replace("_", " "))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure


def picture(evaluation: Evaluation, folder: Path, suffix: str = "") -> Path:
    """Draw what the task shows best, into a file of the folder: the confusion matrix of classes,
    the scores of each label, numbers predicted against true."""
    draw, stem = {
        "multilabel": (labels, "labels"),
        "regression": (predictions, "predictions"),
    }.get(evaluation.task.name, (confusion, "confusion"))
    path = folder / f"{stem}{suffix}.png"
    draw(evaluation, path)
    return path


def table(evaluation: Evaluation) -> str:
    """The scores of each class, label or number, as lines."""
    made = {"multilabel": per_label, "regression": per_number}.get(evaluation.task.name, per_class)
    return made(evaluation)


def confusion(evaluation: Evaluation, path: Path) -> None:
    """The confusion matrix: rows are true classes, columns predictions, in % of the row."""
    counts, class_names = evaluation.confusion(), evaluation.task.names
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


def labels(evaluation: Evaluation, path: Path) -> None:
    """The scores of each label, a row each."""
    names, each = evaluation.task.names, _of_labels(evaluation)
    figure = _figure(6.4, max(2.4, 0.32 * len(names) + 1.2))
    axes = figure.subplots()
    rows = np.arange(len(names))
    for name, marker in (("recall", "<"), ("precision", ">"), ("F1", "o"), ("AUROC", "D")):
        axes.plot(each[name], rows, marker, label=name, ms=6, alpha=0.8, linestyle="none")
    if len(names) <= 60:  # beyond, the writing would not be readable
        axes.set_yticks(rows, [f"{n} ({c})" for n, c in zip(names, each["examples"], strict=True)])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylabel("label (examples that have it)")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title(f"labels that are right {evaluation.accuracy:.4f}, n = {len(evaluation.label)}")
    write_figure(path, figure)


def predictions(evaluation: Evaluation, path: Path) -> None:
    """Numbers predicted against true, a panel each; on the line they are right."""
    names, each = evaluation.task.names, _of_numbers(evaluation)
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = _figure(4.0 * columns, 3.8 * rows)
    panels = np.ravel(figure.subplots(rows, columns))
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for i, (name, axes) in enumerate(zip(names, panels, strict=False)):
        true, said = evaluation.label[:, i], evaluation.answers[:, i]
        ends = [min(true.min(), said.min()), max(true.max(), said.max())]
        axes.plot(ends, ends, "k-", linewidth=0.8, alpha=0.6)
        axes.plot(true, said, ".", ms=4, alpha=min(1.0, 0.15 + 100 / len(true)))
        axes.set_xlabel(f"true {name}")
        axes.set_ylabel(f"predicted {name}")
        axes.set_title(f"R2 {each['R2'][i]:.4f}, mean absolute error {each['mean error'][i]:.3g}")
        axes.grid(alpha=0.3)
    write_figure(path, figure)


def per_class(evaluation: Evaluation) -> str:
    """A table: class, examples, recall, precision, what it is most often taken for."""
    counts, class_names = evaluation.confusion(), evaluation.task.names
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


def per_label(evaluation: Evaluation) -> str:
    """A table: label, examples that have it, recall, precision, F1, AUROC."""
    return _table("label", evaluation.task.names, _of_labels(evaluation))


def per_number(evaluation: Evaluation) -> str:
    """A table: number, R2, mean and root mean square of the error in its unit."""
    return _table("number", evaluation.task.names, _of_numbers(evaluation))


def _of_labels(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """`(k,)` each; NaN what divides by none."""
    true, said = evaluation.label > 0, evaluation.predicted > 0
    both = (true & said).sum(0)
    with np.errstate(invalid="ignore"):
        return {
            "examples": true.sum(0),
            "recall": both / true.sum(0),
            "precision": both / said.sum(0),
            "F1": 2 * both / (true.sum(0) + said.sum(0)),
            "AUROC": auroc_each(evaluation),
        }


def _of_numbers(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """`(k,)` each."""
    label = evaluation.label.astype(np.float64)
    error = evaluation.answers - label
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1 - (error**2).mean(0) / label.var(0)
    return {
        "R2": np.where(np.isfinite(r2), r2, np.nan),
        "mean error": np.abs(error).mean(0),
        "root mean square": np.sqrt((error**2).mean(0)),
    }


def _table(first: str, names: Sequence[str], columns: dict[str, np.ndarray]) -> str:
    """Names on the left, numbers on the right of their columns."""
    lines = [[first, *names]]
    for head, numbers in columns.items():
        lines.append([head, *("-" if np.isnan(x) else f"{x:.5g}" for x in numbers)])
    widths = [max(map(len, column)) for column in lines]
    rows = zip(*lines, strict=True)
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
