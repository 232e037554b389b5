"""What a data set is: splits, class names, measured statistics."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from cnnlab.arguments import checked
from cnnlab.data.labels import (
    PER_POSITION,
    TaskName,
    at_least_tiny,
    check_labels,
    labels_of,
    scale,
)
from cnnlab.data.splits import RESIDENT_BYTES, ArraySplit, DataError, Split, are_tokens
from cnnlab.display import View, shown

_STATISTICS_SAMPLE = 10_000
_PIECE_BYTES = 2**27


@shown
@dataclasses.dataclass(frozen=True)
class Dataset:
    """Splits and what is known about them.

    - `val` is empty when no part of the training split was set aside for validation.
    - `class_names`: of the classes; of the labels, of the numbers (with their unit) where the
      `task` is about these. A network has `num_classes` outputs, one for each.
    - `input_shape` is one example's `(*spatial, c)`; `(length,)` of tokens.
    - `vocabulary`: how many different tokens there can be, numbered from 0; None where examples are
      none.
    - `mean`, `std`: `(c,)`, of the training split (validation part taken away), in raw units:
      0..255 for uint8 images. Tokens have none: `(0,)`.
    - `origin`: where the data came from, in words.
    - `high`: the raw value of white: 255 for uint8 images unless told otherwise; None where it is
      not known.
    - `fit`: `"stretch"` where images were resized to `input_shape`, `"pad"` where they had it.
    - `light_borders`: the share of training images with a light border; None unless they are
      `(h, w, 1)`.
    - `fingerprint`: stands for the examples (`data.fingerprint`), empty where the config alone
      determines them: a run on other examples is another run.
    - `task`: what the labels are (`data.TaskName`).
    - `label_mean`, `label_std`: `(k,)`, of the training split's numbers, in their units; None
      unless the task is regression.
    """

    name: str
    train: Split
    val: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    mean: Float[np.ndarray, " c"]
    std: Float[np.ndarray, " c"]
    origin: str
    high: int | None = 255
    fit: Literal["pad", "stretch"] = "pad"
    light_borders: float | None = None
    fingerprint: str = ""
    task: TaskName = "classification"
    vocabulary: int | None = None
    label_mean: Float[np.ndarray, " k"] | None = None
    label_std: Float[np.ndarray, " k"] | None = None

    def view(self) -> View:
        sizes = {"training": self.train, "validation": self.val, "test": self.test}
        facts = {
            "examples": ", ".join(f"{len(split):,} {name}" for name, split in sizes.items()),
            "shape": self.input_shape,
            self.task: ", ".join(self.class_names),
            "from": self.origin,
        }
        return View.of(self.name, facts)

    @property
    def positions(self) -> tuple[int, ...]:
        """Those of one example that each have a class: none where the example has the label."""
        return self.spatial if self.task in PER_POSITION else ()

    @property
    def spatial(self) -> tuple[int, ...]:
        """`input_shape` without the channels."""
        return self.input_shape[:-1] if self.vocabulary is None else self.input_shape

    @classmethod
    def from_splits(
        cls,
        name: str,
        train: Split,
        test: Split,
        *,
        class_names: Sequence[str],
        val: Split | None = None,
        val_fraction: float | int = 0,
        origin: str,
        high: int | None = None,
        resized: bool = False,
        fingerprint: str = "",
        task: TaskName = "classification",
        vocabulary: int | None = None,
    ) -> "Dataset":
        """Set a validation split aside, measure the statistics, and put the data set together.

        **Arguments:** `val`, the validation split where there is one: of the training split
        `val_fraction` becomes it otherwise; `high`, the value of white (255 for uint8 images if not
        given); `resized`, whether the images were brought to their size from another; `vocabulary`,
        how many tokens there are, where the examples are tokens.

        **Raises:** `DataError` for labels that are not the task's, such as of no class, and images
        that are not finite.
        """
        given = {"train": train, "test": test} | ({} if val is None else {"val": val})
        for split, examples in given.items():
            _check_examples(name, split, examples, class_names, task, vocabulary)
        if val is None:
            kept, held = validation_split(len(train), val_fraction)
            val = train.select(held)
            train = train.select(kept) if len(held) else train
        none = np.zeros(0, np.float32)
        mean, std = statistics(train) if vocabulary is None else (none, none)
        numbers = scale(labels_of(train)) if task == "regression" else (None, None)
        first = train.take(np.arange(1))[0]
        if high is None and first.dtype == np.uint8 and vocabulary is None:
            high = 255
        light = None
        if first.ndim == 4 and first.shape[-1] == 1 and high is not None:
            light = float(
                np.concatenate([is_light(image, high) for image in _pieces(train)]).mean()
            )
        return cls(
            name=name,
            train=train,
            val=val,
            test=test,
            num_classes=len(class_names),
            class_names=tuple(class_names),
            input_shape=tuple(int(n) for n in first.shape[1:]),
            mean=mean,
            std=std,
            origin=origin,
            high=high,
            fit="stretch" if resized else "pad",
            light_borders=light,
            fingerprint=fingerprint,
            task=task,
            vocabulary=vocabulary,
            label_mean=numbers[0],
            label_std=numbers[1],
        )


def validation_split(
    n: int, fraction: float | int, seed: int = 0, name: str = "val_fraction"
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]:
    """Positions `(kept, set_aside)` of a split of `n` examples, each sorted.

    `round(fraction * n)` examples drawn without replacement are set aside. The draw depends on
    `n`, `fraction` and `seed` only, so that every run of an experiment validates on the same ones.

    **Raises:** `ValueError` that begins with the `name` of the fraction: unless 0 <= fraction < 1
    and, above 0, both parts get an example.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {fraction}")
    held = round(fraction * n)
    if fraction > 0 and not 0 < held < n:
        raise ValueError(
            f"{name}: {fraction} of {n} training examples leaves "
            f"{n - held} to train and {held} to set aside; expected at least 1 each"
        )
    # RandomState's streams are frozen: the same split with every version of NumPy.
    order = np.random.RandomState(seed).permutation(n)
    return np.sort(order[held:]), np.sort(order[:held])


def _pieces(split: Split) -> Iterator[Shaped[np.ndarray, "b ..."]]:
    """Images of all examples; of a fixed sample of them where memory can't hold the split."""
    n = len(split)
    if split.nbytes > RESIDENT_BYTES and n > _STATISTICS_SAMPLE:
        positions = np.sort(np.random.RandomState(0).permutation(n)[:_STATISTICS_SAMPLE])
    else:
        positions = np.arange(n)
    step = min(4096, max(1, _PIECE_BYTES // max(split.nbytes // n, 1)))
    for start in range(0, len(positions), step):
        # A view of what is in memory already, where the positions are all of it.
        if isinstance(split, ArraySplit) and len(positions) == n:
            yield split.image[start : start + step]
        else:
            yield split.take(positions[start : start + step])[0]


def is_light(image: Shaped[np.ndarray, "b h w c"], high: int) -> Bool[np.ndarray, " b"]:
    """Whether most of an image's outermost pixels are in the lighter half of 0 to `high`."""
    edges = (image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1])
    border = np.concatenate([edge.reshape(len(image), -1) for edge in edges], axis=1)
    return (border > high / 2).mean(1) > 0.5


@checked
def statistics(split: Split) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Mean and standard deviation per channel, `(c,)` float32, in raw units.

    Of all examples and positions; of a fixed sample of 10,000 examples where the split is too
    large to be held in memory. A channel that never changes gets the standard deviation 1.
    """
    count, total, squares = 0, 0.0, 0.0
    for image in _pieces(split):
        rows = image.reshape(-1, image.shape[-1])
        if image.dtype == np.uint8:
            # Exact and eight times smaller than a float64 copy: how often each value occurs.
            values = np.arange(256, dtype=np.float64)
            counts = np.stack(
                [np.bincount(rows[:, c], minlength=256) for c in range(rows.shape[1])]
            )
            piece_total, piece_squares = counts @ values, counts @ values**2
        else:
            wide = rows.astype(np.float64)
            piece_total, piece_squares = wide.sum(0), (wide**2).sum(0)
        count, total, squares = count + len(rows), total + piece_total, squares + piece_squares
    mean = np.asarray(total) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0.0))
    return mean.astype(np.float32), at_least_tiny(std)


def _check_examples(
    name: str,
    split: str,
    examples: Split,
    class_names: Sequence[str],
    task: TaskName,
    vocabulary: int | None,
) -> None:
    """Refuse what would train on nonsense; of streamed splits, their source looks at each."""
    if not len(examples):
        raise DataError(f"{name}: the split {split} has no examples")
    if not isinstance(examples, ArraySplit):
        return
    check_labels(name, split, examples, class_names, task)
    if (vocabulary is not None) != are_tokens(examples.image):
        shape = f"{examples.image.dtype}{list(examples.image.shape)}"
        raise DataError(
            f"{name}: expected whole numbers (n, length) and their vocabulary, or neither, the"
            f" split {split} has {shape} with vocabulary {vocabulary}"
        )
    if vocabulary is not None:
        low, high = int(examples.image.min()), int(examples.image.max())
        if low < 0 or high >= vocabulary:
            raise DataError(
                f"{name}: expected tokens from 0 to {vocabulary - 1}, the split {split} has"
                f" {low if low < 0 else high}"
            )
    if examples.image.dtype != np.uint8 and not np.isfinite(examples.image).all():
        raise DataError(f"{name}: images of the split {split} hold values that are not finite")
