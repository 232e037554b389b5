"""A data set: the same each time, of numbers, measured rightly, resumed at the exact batch."""

import numpy as np

from cnnlab.data import loader, statistics
from cnnlab.data.fingerprint import fingerprint


def splits(data):
    return [split for split in (data.train, data.val, data.test) if len(split)]


def test_the_same_each_time(data):
    """What is random in it has a seed."""
    one, other = data(), data()
    assert fingerprint(*splits(one)) == fingerprint(*splits(other))
    assert (one.class_names, one.input_shape) == (other.class_names, other.input_shape)
    assert one.fingerprint == other.fingerprint


def test_examples(data):
    """Finite, of the shape and the classes that it says, in any order that is asked for."""
    data = data()
    assert len(data.class_names) == data.num_classes > 0
    for split in splits(data):
        places = np.arange(len(split))[:64]
        image, label = split.take(places)
        assert image.shape[1:] == tuple(data.input_shape)
        assert np.isfinite(image).all() and np.isfinite(label).all()
        if label.dtype.kind == "i":
            assert label.min() >= 0 and label.max() < data.num_classes
        again, names = split.take(places[::-1])
        np.testing.assert_array_equal(again, image[::-1])
        np.testing.assert_array_equal(names, label[::-1])
        np.testing.assert_array_equal(split.select(places[1:]).take(places[:1])[0], image[1:2])


def test_statistics(data):
    """`mean` and `std` are those of the examples to train on."""
    data = data()
    mean, std = statistics(data.train)
    np.testing.assert_allclose(data.mean, mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(data.std, std, rtol=1e-3, atol=1e-3)


def test_resume(data):
    """A run that goes on at a step gets the batches that it would have had."""
    train = data().train
    batches = loader(train, min(8, len(train)), seed=0)
    through, later = batches.handles(0), batches.handles(3)
    try:
        handles = [next(through) for _ in range(5)]
        for handle in handles[3:]:
            one = batches.fetch(batches.resident, handle)
            other = batches.fetch(batches.resident, next(later))
            np.testing.assert_array_equal(one.image, other.image)
            np.testing.assert_array_equal(one.index, other.index)
    finally:
        through.close(), later.close()
