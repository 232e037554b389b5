"""Settings that would do nothing in the run they are given to: refused, or said as it begins."""

import inspect
from collections.abc import Sequence

from cnnlab.data.augment import Augmentation, CutMix, Cutout, Mixup, RandomErasing
from cnnlab.data.labels import PER_POSITION
from cnnlab.data.perturb import ColorJitter, Perturbation
from cnnlab.models import VGG
from cnnlab.nn import factories
from cnnlab.ops import Ints
from cnnlab.train.settings import Settings
from cnnlab.train.tasks import Task

# A backbone's kernel size where none was asked for, and the convolutions that do not use it.
_KERNEL_SIZE = inspect.signature(VGG).parameters["kernel_size"].default
_OWN_KERNEL = [
    name
    for name, make in inspect.getmembers(factories, inspect.isfunction)
    if "kernel_size" in (parameters := inspect.signature(make).parameters)
    and parameters["kernel_size"].default is None
]

# Augmentations that leave each position of an image where it is.
_IN_PLACE = (ColorJitter, Cutout, RandomErasing)


def check_effects(
    settings: Settings,
    augmentations: Sequence[Augmentation | Perturbation],
    *,
    task: Task,
    validation: int,
) -> None:
    """Refuse what can have no effect at all, or a wrong one, on these data.

    **Arguments:** `augmentations`, of a training run; `task`, that the data set; `validation`, how
    many examples there are to validate on.

    **Raises:** `ValueError` that begins with the key.
    """
    if settings.judged_by and not validation:
        raise ValueError(
            f"{settings.judged_by}: expected validation examples to judge by, this data set has "
            f"none; data.val_fraction=0.1 sets some aside"
        )
    for one in augmentations:
        name = type(one).__name__
        if isinstance(one, Mixup | CutMix) and task.name == "regression":
            raise ValueError(f"augment: {name} mixes classes, the labels are of regression")
        if task.name in PER_POSITION and not isinstance(one, _IN_PLACE):
            raise ValueError(f"augment: {name} moves the image, and would leave its labels behind")
    if settings.tta != "none" and task.name in PER_POSITION:
        raise ValueError(
            f"tta: expected none, as other views move the image and leave its labels behind, got "
            f"{settings.tta}"
        )
    mixing = any(isinstance(one, Mixup | CutMix) for one in augmentations)
    if mixing and settings.batch_size == 1:
        raise ValueError("batch_size: expected 2 or more, whose examples augment can mix, got 1")


def remarks(
    settings: Settings, *, resident: bool, workers: int, kernel_size: Ints | None, conv: str
) -> list[str]:
    """What a run is asked for and will not do, each in a line.

    **Arguments:**

    - `resident`: whether the training examples are all on the device.
    - `workers`: the processes asked for to read them.
    - `kernel_size`, `conv`: of the backbone, None where it has none; the function of
        `nn.factories` that makes its convolutions.
    """
    found = []
    every, patience = settings.evaluate_every, settings.patience
    if patience is not None and every is not None:
        evaluations = -(-settings.steps // every)
        if patience >= evaluations:
            found.append(
                f"patience={patience} can't stop this run, which has {evaluations} evaluations"
            )
    if settings.select == "best" and every is not None and every >= settings.steps:
        found.append("select=best has one evaluation to choose from, the one at the end")
    if resident and workers:
        found.append(f"data.workers={workers} has nothing to read: the examples fit on the device")
    if kernel_size not in (None, _KERNEL_SIZE) and conv in _OWN_KERNEL:
        found.append(
            f"backbone.kernel_size={kernel_size} changes nothing: conv={conv} does not use it"
        )
    return found
