"""From a list of picture files with labels to a data set: looked at, divided, opened."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cnnlab.data.dataset import Dataset
from cnnlab.data.inventory import Look, look_at
from cnnlab.data.labels import TaskName
from cnnlab.data.pictures import PictureSource, PictureSplit, Reading, shown_path
from cnnlab.data.splits import RESIDENT_BYTES, Placement

_log = logging.getLogger(__name__)

Broken = Literal["refuse", "skip"]

Label = int | tuple[int, ...] | tuple[float, ...]

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Example:
    """A picture file of a split, and its label: a class, or a row of labels or numbers."""

    path: str
    label: Label
    split: Literal["train", "val", "test"] = "train"


Pair = tuple[Example, Look]


def picture_dataset(
    name: str,
    examples: Sequence[Example],
    *,
    task: TaskName = "classification",
    class_names: Sequence[str],
    root: str,
    reading: Reading,
    broken: Broken = "refuse",
    val_fraction: float | int = 0.1,
    test_fraction: float | int = 0.2,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """The data set of picture files with labels; each file is looked at first.

    **Arguments:** `class_names`, of classes, labels or numbers; `root`, the folder they are in;
    `test_fraction`, `val_fraction`, the shares of each class in the training split that become the
    test and the validation split where `examples` have none; `broken`, whether files that can't be
    read are refused or left out.

    **Raises:** `ValueError` that begins with the argument's name: files that can't be read, that
    differ in size while there is no `size`, or are too few for the fractions.
    """
    looks = look_at([example.path for example in examples], root=root)
    looks = [_with_white(look, reading) for look in looks]
    _settle(examples, looks, broken)
    kept = [
        (example, look) for example, look in zip(examples, looks, strict=True) if not look.problem
    ]
    _remark(kept)
    reading = dataclasses.replace(
        reading,
        size=reading.size or _one_size(kept),
        channels=reading.channels or max((look.channels for _, look in kept), default=1),
    )
    parts = {
        split: [pair for pair in kept if pair[0].split == split]
        for split in ("train", "val", "test")
    }
    # Without a broken file it is the table that leaves none.
    why = "broken" if len(kept) < len(examples) else "split_column"
    if not parts["train"]:
        raise ValueError(f"{why}: no picture to train on is left")
    for split, argument, fraction in (
        ("test", "test_fraction", test_fraction),
        ("val", "val_fraction", val_fraction),
    ):
        if not parts[split]:
            parts["train"], parts[split] = _divided(parts["train"], argument, fraction)
    left = {example.label for example, _ in parts["train"]}
    for label, class_name in enumerate(class_names if task == "classification" else ()):
        if label not in left:
            raise ValueError(f"{why}: no training picture of the class {class_name!r} is left")
    splits = {
        split: _split(pairs, reading, placement=placement, workers=workers)
        for split, pairs in parts.items()
    }
    return Dataset.from_splits(
        name,
        splits["train"],
        splits["test"],
        val=splits["val"] if parts["val"] else None,
        class_names=class_names,
        origin=f"in {root}",
        high=reading.high,
        resized=reading.size is not None,
        fingerprint=_fingerprint(class_names, parts),
        task=task,
    )


def _with_white(look: Look, reading: Reading) -> Look:
    if look.problem or look.has_white or reading.white is not None:
        return look
    problem = "does not say which of its values is white; data.white=<value> does"
    return dataclasses.replace(look, problem=problem)


def _settle(examples: Sequence[Example], looks: Sequence[Look], broken: Broken) -> None:
    """Refuse the files that can't be read, or say which are left out."""
    bad = [(e.path, look.problem) for e, look in zip(examples, looks, strict=True) if look.problem]
    if not bad:
        return
    shown = "; ".join(f"{shown_path(path)} {problem}" for path, problem in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    if broken == "refuse":
        raise ValueError(f"broken: {shown}{more}; data.broken=skip leaves such files out")
    if len(bad) == len(examples):
        raise ValueError(f"broken: none of {len(bad):,} files is left: {shown}{more}")
    _log.warning("%d of %d files are left out: %s%s", len(bad), len(examples), shown, more)


def _remark(pairs: Sequence[Pair]) -> None:
    """Say which pictures contradict each other, or are trained on and tested with."""
    first: dict[str, Example] = {}
    differ, leak = [], []
    for example, look in pairs:
        other = first.setdefault(look.digest, example)
        if other.label != example.label:
            differ.append((other.path, example.path))
        elif other.split != example.split:
            leak.append((other.path, example.path))
    for found, what in ((differ, "have another label too"), (leak, "are in another split too")):
        if found:
            one, other = map(shown_path, found[0])
            _log.warning("%d of %d pictures %s: %s, %s", len(found), len(pairs), what, one, other)


def _one_size(pairs: Sequence[Pair]) -> None:
    sizes = sorted({(look.height, look.width) for _, look in pairs})
    if len(sizes) > 1:
        raise ValueError(
            f"size: the pictures differ in size, from {' x '.join(map(str, sizes[0]))} to"
            f" {' x '.join(map(str, sizes[-1]))}: give the side, or [height, width], of all"
        )


def _divided(
    pairs: Sequence[Pair], argument: str, fraction: float | int
) -> tuple[list[Pair], list[Pair]]:
    """What stays of a split, and a share of each of its classes (of all where labels are none): at
    least one of two and more.

    The share is of those whose content has the lowest digests: the same whatever the files are
    called, nearly the same when some are added, and files of one content stay together.

    **Raises:** `ValueError` that begins with the argument's name.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"{argument}: expected a number from 0 to below 1, got {fraction}")
    groups: dict[int, list[int]] = {}
    for place, (example, _) in enumerate(pairs):
        one = example.label if isinstance(example.label, int) else 0
        groups.setdefault(one, []).append(place)
    taken: set[int] = set()
    for places in groups.values():
        count = min(max(round(fraction * len(places)), fraction > 0), len(places) - 1)
        taken.update(sorted(places, key=lambda place: (pairs[place][1].digest, place))[:count])
    if not taken and (fraction > 0 or argument == "test_fraction"):
        raise ValueError(
            f"{argument}: {fraction} of each class of {len(pairs)} training examples is none;"
            " expected at least 1"
        )
    kept = [pair for place, pair in enumerate(pairs) if place not in taken]
    return kept, [pairs[place] for place in sorted(taken)]


def _split(pairs: Sequence[Pair], reading: Reading, **options: Any) -> PictureSplit:
    paths, labels = [example.path for example, _ in pairs], [example.label for example, _ in pairs]
    source = PictureSource(
        paths,
        np.array(labels) if labels else np.zeros(0, int),
        [look for _, look in pairs],
        reading,
    )
    size = reading.size or (tuple(source.full[0].tolist()) if pairs else (1, 1))
    dtype = np.uint8 if reading.depth == 8 else np.float32
    split = PictureSplit(source, (*size, reading.channels or 1), dtype=dtype, **options)
    if split.placement == "device" or (split.placement == "auto" and split.nbytes < RESIDENT_BYTES):
        split.held = split.in_memory()
    return split


def _fingerprint(class_names: Sequence[str], parts: Mapping[str, Sequence[Pair]]) -> str:
    """16 hex digits of all files' contents, their labels and their order, and the classes."""
    made_of = {
        split: [(example.label, look.digest) for example, look in pairs]
        for split, pairs in parts.items()
    }
    content = json.dumps([list(class_names), made_of]).encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()
