"""A backbone trained on some classes, under a new head for others with few examples."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from cnnlab.data import Dataset, Split
from cnnlab.data.splits import ArraySplit
from cnnlab.lab.study import Study, Trained, classes_of


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Networks for the classes `target`, with backbones from the classes `source` or without.

    - `overrides`: of `experiments.train` for all networks; `source_overrides`, `target_overrides`:
      those of one kind; `head_overrides`: where only a head for the target classes is trained.
    - `most`: the largest number of examples a class. Fewer are repeated to make as many, so that
      all networks see batches of one size and are compiled once.
    """

    overrides: Sequence[str]
    source_overrides: Sequence[str]
    target_overrides: Sequence[str]
    head_overrides: Sequence[str]
    data: Dataset
    source: Sequence[int]
    target: Sequence[int]
    most: int

    @functools.cached_property
    def _source(self) -> Study:
        data = classes_of(self.data, self.source)
        return Study([*self.overrides, *self.source_overrides], data=data)

    @functools.cached_property
    def _target(self) -> Dataset:
        return classes_of(self.data, self.target)

    @functools.cached_property
    def _whole(self) -> Study:
        return Study([*self.overrides, *self.target_overrides], data=self._target)

    @functools.cached_property
    def _frozen(self) -> Study:
        overrides = [*self.overrides, *self.target_overrides, *self.head_overrides]
        return Study(overrides, data=self._target, frozen=True)

    @functools.cached_property
    def _trained(self) -> dict[int, Trained]:
        return {}

    def backbone(self, seed: int) -> Trained:
        """The network of the source classes: trained at most once."""
        if seed not in self._trained:
            self._trained[seed] = self._source.train(seed)
        return self._trained[seed]

    def source_accuracy(self, seed: int) -> float:
        """Of the network of the source classes, on their test images."""
        return self._source.evaluate(self.backbone(seed)).accuracy

    def accuracy(self, mode: str, examples: int, seed: int) -> float:
        """Train on some examples of each target class; the share of test images that is right.

        **Arguments:** `mode`: `frozen` (a new head on the trained backbone), `tuned` (all of it is
        trained on), `scratch` (from random weights) or `random` (a head on a random backbone).
        """
        study = self._frozen if mode in ("frozen", "random") else self._whole
        start = (
            study.on_backbone(seed, self.backbone(seed)) if mode in ("frozen", "tuned") else None
        )
        split = few(self._target.train, examples, self.most, len(self.target), seed)
        return study.evaluate(study.train(seed, start, examples=split)).accuracy


def few(train: Split, examples: int, most: int, classes: int, seed: int) -> ArraySplit:
    """`examples` random ones of each class, repeated until there are `most` of each.

    A seed's larger draws contain its smaller ones.
    """
    memory = train.in_memory()
    label, generator = np.asarray(memory.label), np.random.RandomState(seed)
    drawn = [generator.permutation(np.flatnonzero(label == c))[:examples] for c in range(classes)]
    return memory.select(np.concatenate([np.resize(positions, most) for positions in drawn]))


def rarest(train: Split, classes: Sequence[int]) -> int:
    """How many examples the rarest of some classes has."""
    label = np.asarray(train.in_memory().label)
    return min(int((label == c).sum()) for c in classes)
