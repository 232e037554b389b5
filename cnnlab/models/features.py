"""What each stage of a backbone gives: channels, stride, receptive field, shape."""

from typing import Any, NamedTuple

from cnnlab.arguments import having
from cnnlab.models.trace import ReceptiveField, trace


class FeatureInfo(NamedTuple):
    """One stage of a backbone.

    - `name`: `"stages[0]"`, ...
    - `channels`: size of the last axis.
    - `stride`: input positions between neighbouring features, per spatial axis; `()` where the
      features have no spatial axes.
    - `receptive_field`: input positions along each spatial axis that one feature depends on
      (A 4.1), over all branches, `"all"` or `"unknown"` (`trace`).
    - `shape`: shape of the features of one input, `(*spatial, c)`.
    """

    name: str
    channels: int
    stride: tuple[int, ...]
    receptive_field: ReceptiveField
    shape: tuple[int, ...]


def feature_info(backbone: Any) -> list[FeatureInfo]:
    """One `FeatureInfo` a stage of a backbone such as `VGG` or `MLP`, first stage first.

    **Raises:** `ValueError` for a backbone with a stage that does not run.
    """
    having("backbone", backbone, "a backbone such as VGG", "in_shape", "stages")
    calls = {call.path: call for call in trace(backbone, backbone.in_shape, parts=["stages"])}
    info = []
    for i in range(len(backbone.stages)):
        name = f"stages[{i}]"
        if name not in calls:
            raise ValueError(
                f"backbone: expected one that runs all its stages, but {name} does not run"
            )
        last = calls[name]
        shape = last.out_shape
        info.append(FeatureInfo(name, shape[-1], last.step, last.receptive_field, shape))
    return info
