"""Prepared TFDS data sets by name: images and tensors, in memory and streamed, no TensorFlow."""

import pickle
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from prepared_sets import examples, png, prepare
from tensorflow_datasets.core.features import image_feature

from cnnlab.data import loader, tfds_dataset
from cnnlab.data.decode import resize
from cnnlab.data.picture import read_picture
from cnnlab.data.records import RecordSource
from cnnlab.data.splits import DataError
from cnnlab.train.predict import describe, form_of


@pytest.mark.usefixtures("cifar10")
def test_cifar10_shaped(root):
    """The real set's form (PNG in ArrayRecord, 32x32x3), made up and small."""
    data = tfds_dataset("cifar10", data_dir=str(root), val_fraction=0.25)
    assert data.input_shape == (32, 32, 3) and data.num_classes == 10
    assert data.class_names == tuple("0123456789")
    assert (len(data.train), len(data.val), len(data.test)) == (18, 6, 8)
    image, label = examples("test", (32, 32, 3))
    np.testing.assert_array_equal(data.test.image, image)
    np.testing.assert_array_equal(data.test.label, label)
    assert data.mean.shape == (3,)
    assert data.origin == f"prepared in {root}/cifar10/3.0.2"
    assert "tensorflow" not in sys.modules


@pytest.mark.usefixtures("cifar10")
def test_streamed_from_records_by_workers(root):
    memory = tfds_dataset("cifar10", data_dir=str(root))
    stream = tfds_dataset("cifar10", data_dir=str(root), placement="stream", workers=1)
    np.testing.assert_array_equal(stream.mean, memory.mean)
    np.testing.assert_array_equal(stream.std, memory.std)
    one, other = (loader(data.train, 5, seed=2) for data in (memory, stream))
    assert (one.resident != (), other.resident) == (True, ())
    left, right = one.handles(2), other.handles(2)
    for _ in range(5):
        want, got = one.fetch(one.resident, next(left)), next(right)
        for a, b in zip(want, got, strict=True):
            np.testing.assert_array_equal(a, b)
    right.close()


TENSOR = tfds.features.Tensor
ZLIB = tfds.features.Encoding.ZLIB


@pytest.mark.parametrize(
    ("name", "feature", "encode", "shape"),
    [
        ("grey", tfds.features.Image(shape=(6, 5, 1)), png, (6, 5, 1)),
        ("numbers", TENSOR(shape=(6, 2), dtype=np.uint8), np.asarray, (6, 2)),
        ("packed", TENSOR(shape=(4, 3, 2), dtype=np.uint8, encoding=ZLIB), np.asarray, (4, 3, 2)),
        (
            "floats",
            TENSOR(shape=(7, 1), dtype=np.float32),
            lambda x: x.astype(np.float32) / 3,
            (7, 1),
        ),
    ],
)
def test_every_kind_of_feature(root, name, feature, encode, shape):
    prepare(root, name, feature, encode, shape)
    data = tfds_dataset(name, data_dir=str(root), val_fraction=0)
    image, label = examples("train", shape)
    want = image if encode is png else np.stack([encode(x) for x in image])
    np.testing.assert_array_equal(data.train.image, want)
    np.testing.assert_array_equal(data.train.label, label)
    assert data.input_shape == shape


def wide(array):
    return array.astype(np.uint16) * np.uint16(257) - np.uint16(100) * (array > 9)


def test_images_of_16_bits(root):
    """Values as they are; pictures are read in the same units."""
    feature = tfds.features.Image(shape=(6, 5, 1), dtype=np.uint16)
    prepare(root, "wide", feature, lambda x: png(wide(x)), (6, 5, 1))
    image = wide(examples("train", (6, 5, 1))[0])
    memory = tfds_dataset("wide", data_dir=str(root), val_fraction=0)
    stream = tfds_dataset("wide", data_dir=str(root), val_fraction=0, placement="stream")
    for data in (memory, stream):
        got, _ = data.train.take(np.arange(24))
        np.testing.assert_array_equal(got, image)
        assert got.dtype == np.float32 and data.high == 65535
    np.testing.assert_allclose(memory.mean, image.mean(), rtol=1e-6)
    assert 0 <= memory.light_borders <= 1
    (root / "wide.png").write_bytes(png(image[0]))
    np.testing.assert_array_equal(
        read_picture(root / "wide.png", form_of(describe(memory))), image[0]
    )


def test_images_of_floats(root, monkeypatch):
    """TFDS keeps the bytes of float32 as four channels; what is white in them is not known."""
    feature = tfds.features.Image(shape=(6, 5, 1), dtype=np.float32)
    encode = lambda x: x / np.float32(255)
    # In place of TensorFlow's encoder, which gets the four bytes of each float.
    monkeypatch.setattr(image_feature._ImageEncoder, "_encode_image", lambda self, x: png(x))
    prepare(root, "float_images", feature, encode, (6, 5, 1))
    data = tfds_dataset("float_images", data_dir=str(root), val_fraction=0)
    np.testing.assert_array_equal(
        data.train.image, examples("train", (6, 5, 1))[0] / np.float32(255)
    )
    assert data.high is None and data.light_borders is None


def test_features_that_are_no_images(root):
    prepare(root, "flat", TENSOR(shape=(6,), dtype=np.uint8), np.asarray, (6,))
    with pytest.raises(ValueError, match=r"^image_key: expected images \(\*spatial, c\)"):
        tfds_dataset("flat", data_dir=str(root))
    with pytest.raises(ValueError, match=r"^image_key: expected an image or a tensor of numbers"):
        tfds_dataset("flat", data_dir=str(root), image_key="id")
    colours = tfds.features.Image(shape=(6, 5, 3), dtype=np.uint16)
    prepare(root, "wide_colours", colours, png, (6, 5, 3))
    with pytest.raises(ValueError, match="1 where they have more than 8 bits"):
        tfds_dataset("wide_colours", data_dir=str(root))


def test_images_of_any_size_are_resized(root):
    sizes = iter(range(5, 100))

    def varied(array):
        return png(np.repeat(array[:1, :1], next(sizes), axis=0))

    prepare(root, "varied", tfds.features.Image(shape=(None, None, 3)), varied, (4, 4, 3))
    with pytest.raises(ValueError, match=r"^size: the images of varied differ in size"):
        tfds_dataset("varied", data_dir=str(root))
    data = tfds_dataset("varied", data_dir=str(root), size=[6, 4], val_fraction=0)
    assert data.input_shape == (6, 4, 3)
    # Each image has one colour, which resizing keeps.
    first = examples("train", (4, 4, 3))[0][:, :1, :1]
    np.testing.assert_array_equal(data.train.image, np.broadcast_to(first, (24, 6, 4, 3)))
    assert tfds_dataset("varied", data_dir=str(root), size=3).input_shape == (3, 3, 3)
    # A stored picture becomes what training saw of it.
    stored = Image.fromarray(np.random.RandomState(0).randint(0, 256, (9, 7, 3), np.uint8))
    stored.save(root / "stored.png")
    seen = resize(np.asarray(stored), (6, 4))
    np.testing.assert_array_equal(read_picture(root / "stored.png", form_of(describe(data))), seen)


@pytest.mark.usefixtures("cifar10")
def test_slices_and_other_splits(root):
    data = tfds_dataset(
        "cifar10", data_dir=str(root), train_split="train[:50%]", test_split="train[50%:]"
    )
    assert len(data.train) + len(data.val) == len(data.test) == 12


@pytest.mark.usefixtures("cifar10")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"train_split": "training"}, "train_split: cifar10 in "),
        ({"test_split": "test[bad"}, "test_split: "),
        ({"image_key": "picture"}, "image_key: cifar10 in "),
        ({"label_key": "id"}, "label_key: expected a class label, 'id' of cifar10 is none"),
        ({"size": 0}, "size: expected a side >= 1, or [height, width], of at most"),
        ({"size": [1, 2, 3]}, "size: expected a side >= 1"),
    ],
)
def test_bad_arguments(root, arguments, says):
    with pytest.raises(ValueError) as caught:
        tfds_dataset("cifar10", data_dir=str(root), **arguments)
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def test_another_file_format_is_refused_with_advice(root):
    folder = prepare(
        root, "other", TENSOR(shape=(2, 1), dtype=np.uint8), np.asarray, (2, 1), version="1.0.0"
    )
    for file in folder.glob("*.array_record*"):
        file.rename(folder / file.name.replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="is not in ArrayRecord"):
        tfds_dataset("other", data_dir=str(root))


def test_a_source_travels_to_other_processes(cifar10):
    source = RecordSource(cifar10, "train")
    assert len(source) == 24
    copy = pickle.loads(pickle.dumps(source))
    for (image, label), (want, other) in zip(
        copy.__getitems__([5, 1]), source.__getitems__([5, 1]), strict=True
    ):
        np.testing.assert_array_equal(image, want)
        assert label == other
