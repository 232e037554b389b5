"""What there is to know of a data set before anything is trained on it."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from cnnlab.data.dataset import Dataset, statistics
from cnnlab.data.labels import NO_LABEL, labels_of
from cnnlab.data.pictures import PictureSplit, shown_path
from cnnlab.data.splits import Labels, Split

_PIECE = 512
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Examples of the same content in two splits, or in one that is named twice.

    - `count`: of the examples of the second split that the first has too (of one split: of those
      that came before); `conflicting`: those of them whose labels differ.
    - `shown`: a few of them, as pairs of file names or of positions.
    """

    splits: tuple[str, str]
    count: int
    conflicting: int
    shown: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What `inspect` finds.

    - `examples`: of each split that has some; `counts`: of each class in it, `(k,)`, of positions
      of each where these have one, of examples with each label; empty where labels are numbers.
    - `statistics`: mean and standard deviation of each channel, `(c,)` each.
    - `sizes`: how many pictures have which `(height, width)`, most first; empty where all examples
      were brought to one size before they could be looked at.
    """

    examples: Mapping[str, int]
    counts: Mapping[str, Int[np.ndarray, " k"]]
    statistics: Mapping[str, tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]]
    duplicates: tuple[Duplicates, ...]
    sizes: tuple[tuple[tuple[int, int], int], ...]

    def warnings(self, data: Dataset) -> list[str]:
        """What should be looked at before training, each in a line."""
        found = []
        for split, counts in self.counts.items():
            names = [data.class_names[k] for k in np.flatnonzero(counts == 0)]
            if names:
                few = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
                found.append(f"{split} has no examples of {few}")
        for same in self.duplicates:
            one, other = same.splits
            what = f"within {one}" if one == other else f"of {one} in {other}"
            wrong = f", {same.conflicting:,} with another label" if same.conflicting else ""
            pair = " and ".join(same.shown[0])
            found.append(f"duplicates {what}: {same.count:,}{wrong}, such as {pair}")
        return found


def inspect(data: Dataset) -> Inspection:
    """Look at all examples of a data set; those that are not in memory are read for it."""
    splits = {name: getattr(data, name) for name in ("train", "val", "test")}
    splits = {name: split for name, split in splits.items() if len(split)}
    labels = {name: labels_of(split) for name, split in splits.items()}
    return Inspection(
        examples={name: len(split) for name, split in splits.items()},
        counts={}
        if data.task == "regression"
        else {name: _counts(data, label) for name, label in labels.items()},
        statistics={
            name: (data.mean, data.std) if name == "train" or data.vocabulary else statistics(split)
            for name, split in splits.items()
        },
        duplicates=tuple(_duplicates(splits, labels)),
        sizes=_sizes(list(splits.values())),
    )


def _counts(data: Dataset, label: Labels) -> Int[np.ndarray, " k"]:
    if data.task == "multilabel":
        return label.sum(0).astype(int)
    return np.bincount(label[label != NO_LABEL], minlength=data.num_classes)


def _read(split: Split) -> Iterator[tuple[Shaped[np.ndarray, "b ..."], Labels]]:
    for start in range(0, len(split), _PIECE):
        yield split.take(np.arange(start, min(start + _PIECE, len(split))))


def _digests(split: Split) -> list[str]:
    """What stands for each example: its file's content, or its values."""
    if isinstance(split, PictureSplit) and split.held is None:
        return split.digests
    return [
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest()
        for images, _ in _read(split)
        for image in images
    ]


def _duplicates(splits: Mapping[str, Split], labels: Mapping[str, Labels]) -> Iterator[Duplicates]:
    digests = {name: _digests(split) for name, split in splits.items()}
    first: dict[str, dict[str, int]] = {name: {} for name in splits}
    for name, found in digests.items():
        again = [
            (earlier, place)
            for place, digest in enumerate(found)
            if (earlier := first[name].setdefault(digest, place)) != place
        ]
        yield from _described(splits, labels, (name, name), again)
    for one, other in combinations(splits, 2):
        both = [
            (first[one][digest], place)
            for place, digest in enumerate(digests[other])
            if digest in first[one]
        ]
        yield from _described(splits, labels, (one, other), both)


def _described(
    splits: Mapping[str, Split],
    labels: Mapping[str, Labels],
    names: tuple[str, str],
    pairs: list[tuple[int, int]],
) -> Iterator[Duplicates]:
    if not pairs:
        return
    a, b = (labels[name] for name in names)
    differ = sum(not np.array_equal(a[i], b[j]) for i, j in pairs)
    shown = tuple((_name(splits[names[0]], i), _name(splits[names[1]], j)) for i, j in pairs[:20])
    yield Duplicates(names, len(pairs), differ, shown)


def _name(split: Split, place: int) -> str:
    if isinstance(split, PictureSplit):
        return shown_path(split.pictures.paths[split.positions[place]])
    return f"example {place}"


def _sizes(splits: list[Split]) -> tuple[tuple[tuple[int, int], int], ...]:
    sizes = [s.pictures.full[s.positions] for s in splits if isinstance(s, PictureSplit)]
    if not sizes:
        return ()
    values, counts = np.unique(np.concatenate(sizes), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(((int(values[i, 0]), int(values[i, 1])), int(counts[i])) for i in order)


def sample(data: Dataset, count: int) -> Int[np.ndarray, " n"]:
    """Positions of training examples: the first of each class, then the second of each, ..."""
    label = labels_of(data.train)
    if label.ndim > 1 or label.dtype.kind == "f":
        return np.arange(min(count, len(label)))
    turn = np.zeros(len(label), int)
    for k in range(data.num_classes):
        places = np.flatnonzero(label == k)
        turn[places] = np.arange(len(places))
    chosen = np.lexsort((label, turn))[:count]
    return chosen[np.argsort(label[chosen], kind="stable")]


def shown(image: Shaped[np.ndarray, "... c"], low: Any, high: Any) -> Float[np.ndarray, "..."]:
    """Values from `low` to `high` as 0 to 1, cut off there."""
    return np.clip((image.astype(np.float64) - low) / np.maximum(high - low, 1e-12), 0, 1)
