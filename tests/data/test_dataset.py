"""Splits, the validation split of training, and measured statistics."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cnnlab.data import ArraySplit, SourceSplit, dataset, loader, splits, statistics
from cnnlab.data.dataset import Dataset, validation_split
from cnnlab.data.splits import DataError


class ListSource:
    """Random access to arrays, as records would give it; remembers what was read."""

    def __init__(self, image, label):
        self.image, self.label = image, label
        self.read = []

    def __len__(self):
        return len(self.label)

    def __getitems__(self, positions):
        self.read.extend(positions)
        return [(self.image[p], int(self.label[p])) for p in positions]


def both(n=50, shape=(4, 3, 2), dtype=np.uint8, seed=0):
    random = np.random.RandomState(seed)
    image = random.uniform(0, 255, (n, *shape)).astype(dtype)
    label = random.randint(0, 10, n)
    source = SourceSplit(ListSource(image, label), shape, dtype=dtype)
    return ArraySplit(image, label), source


@hypothesis.given(st.integers(2, 400), st.floats(0, 0.99))
def test_a_validation_split_is_a_partition(n, fraction):
    held = round(fraction * n)
    if fraction > 0 and not 0 < held < n:
        with pytest.raises(ValueError, match=r"^val_fraction: "):
            validation_split(n, fraction)
        return
    kept, aside = validation_split(n, fraction)
    assert len(aside) == held
    assert sorted([*kept, *aside]) == list(range(n))
    assert list(kept) == sorted(kept) and list(aside) == sorted(aside)
    again = validation_split(n, fraction)
    np.testing.assert_array_equal(again[1], aside)


def test_the_validation_split_is_fixed_for_ever():
    """Known values: another draw would make old results unrepeatable."""
    np.testing.assert_array_equal(validation_split(20, 0.25)[1], [1, 8, 10, 18, 19])


def test_the_validation_split_represents_the_classes():
    label = np.arange(6000) % 10
    counts = np.bincount(label[validation_split(6000, 0.1)[1]], minlength=10)
    assert counts.min() > 35 and counts.max() < 90


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_statistics_against_numpy(dtype):
    memory, source = both(dtype=dtype)
    flat = memory.image.reshape(-1, 2).astype(np.float64)
    for split in (memory, source):
        mean, std = statistics(split)
        assert mean.shape == std.shape == (2,) and mean.dtype == std.dtype == np.float32
        np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-6)
        np.testing.assert_allclose(std, flat.std(0), rtol=1e-5)


def test_statistics_in_pieces(monkeypatch):
    """More examples than a piece, and a sample where the split is too large to hold."""
    image = np.random.RandomState(0).randint(0, 256, (9000, 2, 1)).astype(np.uint8)
    split = ArraySplit(image, np.zeros(9000, int))
    mean, std = statistics(split)
    np.testing.assert_allclose([mean[0], std[0]], [image.mean(), image.std()], rtol=1e-6)
    monkeypatch.setattr(dataset, "RESIDENT_BYTES", 100)
    monkeypatch.setattr(dataset, "_STATISTICS_SAMPLE", 500)
    sampled, _ = statistics(split)
    assert sampled[0] != mean[0] and abs(sampled[0] - mean[0]) < 12
    np.testing.assert_array_equal(statistics(split)[0], sampled)


def test_a_constant_channel_does_not_divide_by_zero():
    mean, std = statistics(ArraySplit(np.full((5, 3, 1), 7, np.uint8), np.zeros(5, int)))
    assert mean[0] == 7 and std[0] == 1


def test_statistics_are_of_the_train_part_and_test_is_not_read():
    memory, _ = both()
    test_source = ListSource(memory.image, memory.label)
    test = SourceSplit(test_source, memory.image.shape[1:])
    made = Dataset.from_splits(
        "made", memory, test, class_names=list("abcdefghij"), val_fraction=0.4, origin="here"
    )
    np.testing.assert_array_equal(made.mean, statistics(made.train)[0])
    assert not np.array_equal(made.mean, statistics(memory)[0])
    assert made.num_classes == 10 and made.input_shape == (4, 3, 2)
    assert test_source.read == []


def test_source_and_memory_agree():
    memory, source = both()
    positions = np.array([3, 3, 49, 0])
    for one, other in ((memory, source), (memory.select(positions), source.select(positions))):
        assert len(one) == len(other) and one.nbytes == other.nbytes
        for a, b in zip(one.take(positions % 4), other.take(positions % 4), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    np.testing.assert_array_equal(source.in_memory().image, memory.image)


def test_a_choice_of_placement_is_passed_on():
    image, label = np.zeros((4, 2, 1), np.uint8), np.zeros(4, int)
    source = SourceSplit(ListSource(image, label), (2, 1), placement="stream", workers=2)
    for split in (source, ArraySplit(image, label, placement="stream", workers=2)):
        for made in (split.select(np.array([0, 1])), split.in_memory()):
            assert (made.placement, made.workers) == ("stream", 2)


def test_what_would_train_on_nonsense_is_refused():
    image, label = np.zeros((6, 4, 4, 1), np.float32), np.arange(6)
    good = ArraySplit(image, label % 3)

    def made(split):
        names = {"class_names": "abc", "val_fraction": 0, "origin": "here"}
        return lambda: Dataset.from_splits(
            "made", good, split, **names
        ), lambda: Dataset.from_splits("made", split, good, **names)

    bad = np.where(np.arange(6) == 2, np.nan, 0.0)[:, None, None, None] + image
    for split, says in (
        (ArraySplit(image, label), "made: expected labels from 0 to 2, the split .* has 5"),
        (ArraySplit(image, label - 1), "made: expected labels from 0 to 2, the split .* has -1"),
        (ArraySplit(image, label + 2**32), "made: expected labels from 0 to 2"),
        (ArraySplit(bad, label % 3), "made: images of the split .* that are not finite"),
        (ArraySplit(image + np.float64([1e300]), label % 3), "that are not finite"),
        (ArraySplit(image[:0], label[:0]), "made: the split .* has no examples"),
    ):
        for make in made(split):
            with pytest.raises(DataError, match=says):
                make()
    with pytest.raises(ValueError, match="image: expected an array of numbers, got complex64"):
        ArraySplit(image.astype(np.complex64), label)


def test_a_source_whose_images_differ_is_refused():
    source = ListSource([np.zeros((2, 2, 1)), np.zeros((1, 1, 1))], [0, 1])
    with pytest.raises(DataError, match=r"example 1: expected an image of shape \[2, 2, 1\]"):
        SourceSplit(source, (2, 2, 1)).take(np.arange(2))


def test_a_split_that_memory_cannot_hold_is_not_read(monkeypatch):
    monkeypatch.setattr(splits, "memory", lambda: 1000)
    _, split = both(shape=(28, 28, 1))
    for read in (split.in_memory, lambda: loader(split, 5, seed=0, placement="device")):
        with pytest.raises(ValueError, match=r"^placement: .* 50 take 39,200 bytes, 784 each$"):
            read()
    assert split.source.read == []
