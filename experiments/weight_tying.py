"""B 10.1.5: the gradient of a weight that is used at every position."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, all_of, at_least, at_most, estimate
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Everything is in float64, with sums of at most a few thousand terms: rounding stays below this by
# orders of magnitude, and a term too many or too few is far above it.
ROUNDING = 1e-10

CLAIMS = (
    Claim(
        "pooled",
        "B 10.1.5",
        "Gradient values from all copies of a shared parameter are pooled to get the update: the "
        "kernel's gradient is the sum over positions of the locally connected layer's.",
        "a layer and a loss for which they differ by more than rounding (1e-10, in float64)",
    ),
    Claim(
        "mean",
        "B 10.1.5",
        "The same, with pooling read as the mean (the text does not say which).",
        "a layer and a loss for which the mean is not the kernel's gradient",
    ),
    Claim(
        "stays_tied",
        "B 10.1.5",
        "With the pooled gradient as every copy's, a locally connected layer that begins as a "
        "convolution stays one, and the same one as when the kernel itself is trained.",
        "copies of a weight that come apart, or leave the trained kernel, by more than rounding",
    ),
    Claim(
        "required",
        "B 10.1.5",
        "The modification is required: with each copy's own gradient they do not stay tied.",
        "a layer whose copies are still equal, to rounding, after such a training",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Gradients of random layers under several losses; short trainings."""
    import numpy as np

    from experiments import _weight_tying as parts

    draw = lambda *key: np.random.default_rng([cfg.seed, *key])
    gradients = {
        f"layer {i}": lambda i=i: parts.gradients(draw(0, i)) for i in range(cfg.geometries)
    }
    trainings = {
        f"{name}, layer {i}": lambda name=name, i=i: parts.training(
            draw(1, i), name, cfg.steps, cfg.lr
        )
        for name in parts.OPTIMIZERS
        for i in range(cfg.updates)
    }
    values = cells.all({**gradients, **trainings})
    return {
        "gradients": [values[key] for key in gradients],
        "trainings": [values[key] for key in trainings],
        "picture": parts.picture(cfg.seed),
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Largest differences against rounding."""
    errors = {
        how: [loss[how] for layer in data["gradients"] for loss in layer["losses"].values()]
        for how in ("sum", "mean")
    }
    runs = data["trainings"]
    largest = lambda what: _worst([value for run in runs for value in run[what]])
    n = len(errors["sum"])
    return {
        "pooled": at_most(
            _worst(errors["sum"]), ROUNDING, f"largest relative difference ({n} pairs)"
        ),
        "mean": at_most(
            _worst(errors["mean"]), ROUNDING, f"largest relative difference ({n} pairs)"
        ),
        "stays_tied": all_of(
            at_most(largest("pooled"), ROUNDING, f"copies apart ({len(runs)} trainings)"),
            at_most(largest("from_conv"), ROUNDING, "copies from the convolution's kernel"),
        ),
        "required": at_least(
            min(run["own"][-1] for run in runs),
            ROUNDING,
            f"copies apart at the end, the least of {len(runs)} trainings",
        ),
    }


def _worst(values: Sequence[float]) -> float:
    """The largest, or what is not a number."""
    return max(values, key=lambda v: math.inf if math.isnan(v) else v)


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Differences by loss; how far copies come apart, by optimizer."""
    layers = data["gradients"]
    by_loss = []
    for name in layers[0]["losses"]:
        worst = {
            how: max(layer["losses"][name][how] for layer in layers) for how in ("sum", "mean")
        }
        by_loss.append([name, len(layers), *(f"{v:.1e}" for v in worst.values())])
    by_rule = []
    for name in dict.fromkeys(run["optimizer"] for run in data["trainings"]):
        runs = [run for run in data["trainings"] if run["optimizer"] == name]
        e = estimate([run["own"][-1] for run in runs])
        tied = max(max(run["pooled"]) for run in runs)
        conv = max(max(run["from_conv"]) for run in runs)
        by_rule.append(
            [name, f"{tied:.1e}", f"{conv:.1e}", f"{e.mean:.3f}", f"{e.deviation:.3f}", e.n]
        )
    return [
        Table(
            "The kernel's gradient against its copies', largest relative difference",
            ["loss", "layers", "sum", "mean"],
            by_loss,
        ),
        Table(
            "After training, relative to the largest weight",
            [
                *("optimizer", "pooled: copies apart", "pooled: from the convolution"),
                *("own: copies apart, mean", "deviation", "n"),
            ],
            by_rule,
        ),
    ]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """The gradients of one weight's copies and the kernel's; copies that come apart."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    copies, sums, apart = figure.subplots(1, 3)
    picture = data["picture"]
    largest = max(abs(v) for row in picture["copies"] for v in row)
    image = copies.imshow(picture["copies"], cmap="RdBu_r", vmin=-largest, vmax=largest)
    copies.set(title="gradient of the middle weight's copies", xticks=[], yticks=[])
    copies.set(xlabel="position (column)", ylabel="position (row)")
    figure.colorbar(image, ax=copies)
    flat = {key: [v for row in picture[key] for v in row] for key in ("sums", "shared")}
    taps = range(len(flat["sums"]))
    sums.bar(taps, flat["sums"], color="tab:blue", alpha=0.5, label="sum over the copies")
    sums.plot(taps, flat["shared"], "k_", markersize=14, label="the convolution's")
    sums.axhline(0, color="grey", linewidth=0.8)
    sums.set(title="gradient of the kernel", xlabel="weight, row by row", ylabel="gradient")
    sums.legend()
    for run in data["trainings"]:
        if run["optimizer"] == "sgd":
            steps = range(1, len(run["own"]) + 1)
            apart.plot(steps, run["own"], color="tab:red", alpha=0.6, label="each its own")
            apart.plot(steps, run["pooled"], color="tab:blue", label="pooled")
    handles, labels = apart.get_legend_handles_labels()
    apart.legend(handles[:2], labels[:2], title="gradient")
    apart.set(title="copies of a weight, SGD", xlabel="step")
    apart.set(ylabel="apart, relative to the largest weight")
    return {"tying": figure}


QUESTION = Question(
    name="weight_tying",
    title="How is a weight updated that is used at every position?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="The text says that the gradients of the copies are pooled, and leaves open how: they are "
    "added, not averaged. No code does it: it is the chain rule.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
