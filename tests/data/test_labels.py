"""Labels of several tasks: what is refused, and the set that is drawn for them."""

import numpy as np
import pytest

from cnnlab.data import ArraySplit, Dataset, SourceSplit, scattered_digits
from cnnlab.data.labels import labels_of
from cnnlab.data.splits import DataError

IMAGE = np.zeros((3, 2, 4, 1), np.uint8)


def made(task, label, names="ab"):
    split = ArraySplit(IMAGE, np.asarray(label))
    return Dataset.from_splits(
        "made", split, split, class_names=names, val_fraction=0, origin="here", task=task
    )


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        ("classification", [0.0, 1.0, 0.5], r"one class for each example, .* has float32\[3\]"),
        ("classification", [[0], [1], [0]], r"one class for each example, .* has int32\[3, 1\]"),
        ("multilabel", [[0, 1]] * 2 + [[0, 2]], r"2 labels of 0 or 1 for each example, .* has 2"),
        ("multilabel", [0, 1, 1], r"2 labels of 0 or 1 for each example, .* has int32\[3\]"),
        ("regression", [[0, np.nan]] * 3, "2 finite numbers for each example, .* has nan"),
        ("regression", [[0.0]] * 3, r"2 finite numbers for each example, .* has float32\[3, 1\]"),
        ("segmentation", np.zeros((3, 4, 2), int), r"a class at each position, .* int32\[3, 4, 2"),
        ("segmentation", np.full((3, 2, 4), 2), "labels from 0 to 1, the split train has 2"),
    ],
)
def test_labels_of_another_task_are_refused(task, label, message):
    with pytest.raises(DataError, match=f"^made: expected {message}"):
        made(task, label)


def test_numbers_are_measured():
    data = made("regression", [[1, 1e-42], [2, 2e-42], [3, 0.0]])  # of which no float32 divides
    assert data.label_std[1] == 1
    data = made("regression", [[1, 5.0], [2, 5.0], [3, 5.0]])
    np.testing.assert_allclose(data.label_mean, [2, 5])
    np.testing.assert_allclose(data.label_std, [np.sqrt(2 / 3), 1])
    assert data.positions == () and made("segmentation", np.zeros((3, 2, 4), int)).positions == (
        2,
        4,
    )


def test_labels_of_a_stream():
    class Source(list):
        def __getitems__(self, positions):
            return [self[i] for i in positions]

    examples = [(np.zeros((2, 2, 1), np.uint8), i % 3) for i in range(7)]
    split = SourceSplit(Source(examples), (2, 2, 1), positions=np.array([6, 1, 2]))
    np.testing.assert_array_equal(labels_of(split), [0, 1, 2])


def test_scattered_digits_say_of_one_picture_what_is_in_it():
    options = {"train_size": 60, "test_size": 20, "val_fraction": 0}
    present, total, maps = (
        scattered_digits(labels=labels, **options) for labels in ("present", "sum", "map")
    )
    for split in ("train", "test"):
        image = getattr(present, split).image
        for other in (total, maps):
            np.testing.assert_array_equal(getattr(other, split).image, image)
        digits, numbers = getattr(present, split).label, getattr(total, split).label
        classes = getattr(maps, split).label
        # Each has dark positions, and there is none where the picture is light.
        seen = [np.isin(np.arange(10), one) for one in classes]
        np.testing.assert_array_equal(seen, digits == 1)
        assert (classes[image[..., 0] <= 4] == 10).all()
        # As many inks as digits: one in each quarter that has any.
        quarters = image.reshape(-1, 2, 12, 2, 12).max((2, 4)) > 0
        np.testing.assert_array_equal(quarters.sum((1, 2)), numbers[:, 0])
        once = digits.sum(1) == numbers[:, 0]
        np.testing.assert_array_equal((digits * np.arange(10)).sum(1)[once], numbers[once, 1])
    assert {*map(int, total.train.label[:, 0])} == {0, 1, 2, 3, 4}
    again = scattered_digits(labels="sum", **options)
    np.testing.assert_array_equal(again.test.label, total.test.label)
    other = scattered_digits(labels="sum", seed=1, **options)
    assert (other.test.label != total.test.label).any()
