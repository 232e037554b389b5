"""What do the filters of a trained network respond to, and where? A 3.6."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Verdict, at_most, exact
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

# Largest relative error of float32 sums in another order; a fast algorithm (F(4, 3)) that a layer
# may be computed by multiplies its roundings.
ROUNDING = 1e-5

CLAIMS = (
    Claim(
        "correlation",
        "A 3.5, 3.6",
        "The activation map H[:, :, z] is the correlation of the image with filter z (and the "
        "bias).",
        "a map of the first layer that differs from scipy's correlation by more than rounding",
    ),
    Claim(
        "response",
        "A 3.6",
        "It shows how strongly the filter responds at each spatial location.",
        "a filter, written into an empty image, whose map is not largest where it was written",
    ),
    Claim(
        "layout",
        "A 3.6",
        "The layers preserve spatial structure: where the image moves, the maps of every stage "
        "move with it (by whole positions of the last stage).",
        "a map that differs from the moved one by more than rounding, off the border",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """The maps of one network, as one cell."""
    from experiments._activation_maps import collect

    return cells.all({"maps": lambda: collect(cfg)})["maps"]


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Largest errors against rounding; filters one by one."""
    errors = data["first"]["errors"] if data["first"] else []
    filters = data["filters_compared"]
    layout = [error for row in data["layout"] for error in row]
    return {
        "correlation": _rounding(errors, "maps of the first layer, relative error"),
        "response": exact(*filters, f"places of the largest response of {filters[1]} filters"),
        "layout": _rounding(layout, "maps of moved images, relative error"),
    }


def _rounding(errors: list[float], what: str) -> Verdict:
    if not errors:
        return exact(0, 0, f"(0) {what}")
    return at_most(max(errors), ROUNDING, f"largest of {len(errors)} {what}")


def tables(data: Mapping[str, Any]) -> list[Table]:
    """The stages."""
    moved = [max(column) for column in zip(*data["layout"], strict=True)] or [None] * len(
        data["stages"]
    )
    rows = [
        [
            stage["name"],
            " x ".join(map(str, stage["shape"])),
            stage["stride"],
            stage["field"],
            f"{100 * stage['zeros']:.0f} %",
            "" if error is None else f"{error:.1e}",
            len(data["layout"]),
        ]
        for stage, error in zip(data["stages"], moved, strict=True)
    ]
    header = ["stage", "maps", "stride", "receptive field", "zeros", "error when moved", "n"]
    return [Table(f"Stages: {data['about']}", header, rows)]


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """The first layer's filters with their maps; the stages."""
    from experiments._activation_maps_report import filter_maps, stage_maps

    figures = {"stages": stage_maps(data)}
    if data["first"]:
        figures["filters"] = filter_maps(data)
    return figures


QUESTION = Question(
    name="activation_maps",
    title="What do the filters of a trained network respond to, and where?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="A map behind poolings or strides keeps the layout at its own resolution: it moves by "
    "whole positions, so only with images that move by multiples of its stride. Zeros around the "
    "image mark the border: the maps are compared where they do not see it.",
)
main = entry(QUESTION, examples=("", "run=outputs/...", "scale=full"))

if __name__ == "__main__":
    main()
