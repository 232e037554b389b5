"""Prepared TFDS data sets by name: images and tensors, in memory and streamed, no TensorFlow."""

import importlib.util
import io
import pickle
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from cnnlab.data import catalogue, loader, tfds_dataset
from cnnlab.data.fetch import DataError
from cnnlab.data.records import RecordSource, prepared_folder

COUNTS = {"train": 24, "test": 8}


def png(array):
    out = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(out, "PNG")
    return out.getvalue()


def examples(split, shape, classes=10):
    random = np.random.RandomState(COUNTS[split])
    n = COUNTS[split]
    return random.randint(0, 256, (n, *shape)).astype(np.uint8), random.randint(0, classes, n)


def prepare(root, name, image, encode, shape, *, version="3.0.2", file_format="array_record"):
    """Prepare a small data set with TFDS itself; `encode` turns an array into what it stores."""

    class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        pkg_dir_path = root

        def _info(self):
            features = {"image": image, "label": tfds.features.ClassLabel(num_classes=10)}
            features["id"] = tfds.features.Text()
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in COUNTS}

        def _generate_examples(self, split):
            for i, (one, label) in enumerate(zip(*examples(split, shape), strict=True)):
                yield i, {"image": encode(one), "label": int(label), "id": f"{split}_{i}"}

    Made.name = name
    with catalogue.quiet_tfds():
        Made(data_dir=root, file_format=file_format).download_and_prepare()
    return root / name / version


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def cifar10(root):
    return prepare(root, "cifar10", tfds.features.Image(shape=(32, 32, 3)), png, (32, 32, 3))


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
        ({"train_split": "training"}, "train_split: cifar10 has the splits train, test, got 'tr"),
        ({"test_split": "test[bad"}, "test_split: "),
        ({"image_key": "picture"}, "image_key: cifar10 has the features"),
        ({"label_key": "id"}, "label_key: expected a class label, 'id' of cifar10 is none"),
        ({"size": 0}, "size: expected an integer >= 1, or two of them, got 0"),
        ({"size": [1, 2, 3]}, "size: expected an integer >= 1, or two of them"),
    ],
)
def test_bad_arguments(root, arguments, says):
    with pytest.raises(ValueError) as caught:
        tfds_dataset("cifar10", data_dir=str(root), **arguments)
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_preparing_needs_the_extra(tmp_path):
    with pytest.raises(DataError) as caught:
        tfds_dataset("cifar100", data_dir=str(tmp_path))
    assert "cifar100: not prepared in" in str(caught.value)
    assert "cnnlab[tensorflow]" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_another_file_format_is_refused_with_advice(root):
    folder = prepare(
        root, "other", TENSOR(shape=(2, 1), dtype=np.uint8), np.asarray, (2, 1), version="1.0.0"
    )
    for file in folder.glob("*.array_record*"):
        file.rename(folder / file.name.replace("array_record", "tfrecord"))
    with pytest.raises(DataError, match="is not in ArrayRecord"):
        tfds_dataset("other", data_dir=str(root))


def test_stock_builders_prepare_into_a_temporary_folder(tmp_path, monkeypatch):
    """With TensorFlow at hand: prepared whole, beside the target; nothing stays on an error."""
    made = []

    class Stock:
        def __init__(self, data_dir):
            self.data_dir = data_dir / "stock" / "1.0.0"

        def download_and_prepare(self, *, download_dir):
            made.append(download_dir)
            self.data_dir.mkdir(parents=True)
            (self.data_dir / "features.json").write_text("{}")
            if len(made) == 1:
                raise OSError("no network")
            (self.data_dir / "dataset_info.json").write_text("{}")

    def builder(name, *, data_dir, file_format):
        assert (name, file_format) == ("stock", "array_record")
        return Stock(data_dir)

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(DataError, match=r"stock: .* no network"):
        catalogue._prepare("stock", tmp_path)
    assert [path.name for path in (tmp_path / "stock").iterdir()] == [".lock"]
    target = catalogue._prepare("stock", tmp_path)
    assert target == tmp_path / "stock" / "1.0.0" == prepared_folder(tmp_path, "stock")
    assert sorted(path.name for path in target.iterdir()) == ["dataset_info.json", "features.json"]
    assert all(target.parent in folder.parents for folder in made)


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match=r"^name: TFDS has no data set 'cifar11'"):
        catalogue._prepare("cifar11", tmp_path)


def test_the_newest_version_is_taken(tmp_path):
    for version in ("2.0.0", "10.0.1", "9.9.9", "incomplete", "11.0.0"):
        folder = tmp_path / "set" / "config" / version
        folder.mkdir(parents=True)
        for name in ("dataset_info.json", "features.json")[: 1 if version == "11.0.0" else 2]:
            (folder / name).write_text("{}")
    assert prepared_folder(tmp_path, "set", "config").name == "10.0.1"
    assert prepared_folder(tmp_path, "set") is None
    assert prepared_folder(tmp_path, "other") is None


def test_a_source_travels_to_other_processes(cifar10):
    source = RecordSource(cifar10, "train")
    assert len(source) == 24
    copy = pickle.loads(pickle.dumps(source))
    for (image, label), (want, other) in zip(
        copy.__getitems__([5, 1]), source.__getitems__([5, 1]), strict=True
    ):
        np.testing.assert_array_equal(image, want)
        assert label == other
