"""CIFAR from archives of the published form, made here: found, prepared, read, and refused."""

import io
import sys
import tarfile

import numpy as np
import pytest

from cnnlab.data import cifar, cifar10, cifar100, fetch
from cnnlab.data.builders.cifar10 import Cifar10
from cnnlab.data.builders.cifar100 import Cifar100
from cnnlab.data.splits import DataError

COUNTS = {"train": 6, "test": 4}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of a few examples."""
    for builder in (Cifar10, Cifar100):
        monkeypatch.setattr(builder, "COUNTS", COUNTS)


def made_up(builder, seed=0):
    """`{file: (images, labels)}`, and the same as the bytes that the published files have."""
    random = np.random.RandomState(seed)
    arrays, contents = {}, {}
    for split, names in builder.FILES.items():
        for name in names:
            n = COUNTS[split]
            image = random.randint(0, 256, (n, 32, 32, 3)).astype(np.uint8)
            classes = [len(builder.LABELS[key]) for key in builder.LABEL_BYTES]
            label = np.stack([random.randint(0, k, n) for k in classes], 1).astype(np.uint8)
            arrays[name] = image, label
            # One record: the labels, then all red, all green, all blue values, row by row.
            records = [
                [row.tobytes(), *(one[..., c].tobytes() for c in range(3))]
                for one, row in zip(image, label, strict=True)
            ]
            contents[name] = b"".join(b"".join(record) for record in records)
    return arrays, contents


def archive(path, folder, contents, mode="w:gz", **more):
    with tarfile.open(path, mode) as tar:
        for name, content in [("batches.meta.txt", b"names\n"), *contents.items(), *more.items()]:
            member = tarfile.TarInfo(name if "/" in name else f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def published(tmp_path):
    """CIFAR-10's archive and what is in it."""
    arrays, contents = made_up(Cifar10)
    path = archive(tmp_path / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", contents)
    return path, arrays, contents


def assert_holds(data, arrays, builder, column=0):
    train = [arrays[name] for name in builder.FILES["train"]]
    image = np.concatenate([image for image, _ in train])
    label = np.concatenate([label for _, label in train])[:, column]
    np.testing.assert_array_equal(data.train.image, image)
    np.testing.assert_array_equal(data.train.label, label)
    image, label = arrays[builder.FILES["test"][0]]
    np.testing.assert_array_equal(data.test.image, image)
    np.testing.assert_array_equal(data.test.label, label[:, column])


def test_cifar10_from_the_archive_a_folder_and_what_is_prepared(published, tmp_path):
    path, arrays, contents = published
    data = cifar10(source=str(path), val_fraction=0)
    assert_holds(data, arrays, Cifar10)
    assert data.class_names[0] == "airplane" and data.class_names[9] == "truck"
    assert (data.num_classes, data.input_shape, data.light_borders) == (10, (32, 32, 3), None)
    assert "tensorflow" not in sys.modules
    assert_holds(cifar10(val_fraction=0), arrays, Cifar10)  # prepared: no source is asked for
    (tmp_path / "unpacked" / "cifar-10-batches-bin").mkdir(parents=True)
    for name, content in contents.items():
        (tmp_path / "unpacked" / "cifar-10-batches-bin" / name).write_bytes(content)
    for number, folder in enumerate(("unpacked", "unpacked/cifar-10-batches-bin")):
        own = {"source": str(tmp_path / folder), "data_dir": str(tmp_path / str(number))}
        assert_holds(cifar10(val_fraction=0, **own), arrays, Cifar10)
    part = cifar10(val_fraction=0, train_split="train[:50%]", size=[8, 4])
    assert len(part.train) == 15 and part.input_shape == (8, 4, 3) and part.fit == "stretch"


@pytest.mark.parametrize(("label", "column", "classes"), [("fine", 1, 100), ("coarse", 0, 20)])
def test_cifar100(label, column, classes, tmp_path):
    arrays, contents = made_up(Cifar100)
    path = archive(tmp_path / "archive", "cifar-100-binary", contents, mode="w")
    data = cifar100(label=label, source=str(path), val_fraction=0)
    assert_holds(data, arrays, Cifar100, column)
    assert data.num_classes == classes
    names = {"fine": ("apple", "worm"), "coarse": ("aquatic_mammals", "vehicles_2")}[label]
    assert (data.class_names[0], data.class_names[-1]) == names


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: {**c, "test_batch.bin": c["test_batch.bin"][:-1]}, "expected 12292 bytes, got"),
        (lambda c: {**c, "data_batch_3.bin": b""}, "data_batch_3.bin: expected 18438 bytes, got 0"),
        (lambda c: {k: c[k] for k in c if k != "data_batch_2.bin"}, "expected the files data_b"),
        (
            lambda c: {**c, "test_batch.bin": b"\x0a" + c["test_batch.bin"][1:]},
            "expected labels from 0 to 9 in byte 0 of each record of test_batch.bin, got 10",
        ),
        (
            lambda c: {**c, "./cifar-10-batches-bin/test_batch.bin": c["test_batch.bin"]},
            "test_batch.bin: expected one file of this name",
        ),
    ],
)
def test_wrong_contents_are_refused(published, tmp_path, change, says):
    path = archive(tmp_path / "wrong.tar", "cifar-10-batches-bin", change(published[2]), mode="w")
    with pytest.raises(DataError, match=says) as caught:
        cifar10(source=str(path))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"cifar10: {path}")
    assert [entry.name for entry in (tmp_path / "tfds" / "cifar10").iterdir()] == [".lock"]
    assert_holds(cifar10(source=str(published[0]), val_fraction=0), published[1], Cifar10)


def test_damaged_archives_are_refused(published, tmp_path):
    content = published[0].read_bytes()
    middle = len(content) // 2
    for number, damaged in enumerate(
        (b"", content[:100], content[:middle], content[:middle] + bytes(middle), b"text")
    ):
        path = tmp_path / f"damaged-{number}.tar.gz"
        path.write_bytes(damaged)
        with pytest.raises(DataError) as caught:
            cifar10(source=str(path))
        assert str(caught.value).startswith(f"cifar10: {path}: ")


def test_nothing_is_unpacked(published, tmp_path):
    """Members are looked at by name, wherever their paths lead; links are not followed."""
    (tmp_path / "secret").write_bytes(published[2]["test_batch.bin"])
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("../../../evil/data_batch_1.bin", f"{tmp_path}/evil/data_batch_1.bin"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(link)
    for names, says in (
        (("data_batch_1.bin",), "which are not there"),
        (("test_batch.bin",), "expected one file of this name"),
    ):
        with pytest.raises(ValueError, match=says):
            cifar.read_files(path, "cifar-10-batches-bin", names, classes=[10], count=4)
    assert not (tmp_path / "evil").exists()


def test_no_way_lists_the_ways(monkeypatch, tmp_path):
    monkeypatch.setattr(Cifar10, "URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError) as caught:
        cifar10()
    for part in (
        "not reachable",
        "the archive cifar-10-binary.tar.gz",
        "data.source=<path>",
        "data.data_dir=<folder>",
    ):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match=r"^source: expected the archive cifar-10-binary.tar.gz"):
        cifar10(source=str(tmp_path))


def test_downloaded_by_tfds(published, monkeypatch):
    """The published address is known with its checksum; what TFDS gives is an archive."""
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert set(Cifar10.url_infos) == {url} == {Cifar10.URL}
    assert set(Cifar100.url_infos) == {url.replace("10", "100")} == {Cifar100.URL}
    assert Cifar10.url_infos[url].size == 170_052_171
    monkeypatch.setattr(fetch, "reachable", lambda url: lambda: None)
    monkeypatch.setattr(
        Cifar10, "_download", lambda self, manager, urls: dict.fromkeys(urls, published[0])
    )
    assert_holds(cifar10(val_fraction=0), published[1], Cifar10)
