"""What an inspection finds of data sets whose faults are known, and the page about it."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import ArraySplit, fake, folder
from cnnlab.data.dataset import Dataset, statistics
from cnnlab.data.inspection import inspect, sample
from experiments import inspect as command


def save(path, height, width, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for c, name in enumerate("ab"):
            for i in range(count):
                save(
                    root / split / name / f"{i}.png",
                    8,
                    8 + c,
                    hash((count, c, i, split == "val")) % 999,
                )
    return root


@pytest.mark.parametrize("placement", ["auto", "stream"])
def test_duplicates_classes_and_sizes(photos, placement):
    shutil.copy(photos / "train" / "a" / "1.png", photos / "train" / "b" / "again.png")
    shutil.copy(photos / "train" / "a" / "2.png", photos / "test" / "a" / "seen.png")
    shutil.rmtree(photos / "val" / "b")
    data = folder(photos, size=8, placement=placement)
    found = inspect(data)
    assert found.examples == {"train": 9, "val": 2, "test": 5}
    assert {k: v.tolist() for k, v in found.counts.items()} == {
        "train": [4, 5],
        "val": [2, 0],
        "test": [3, 2],
    }
    assert found.sizes == (((8, 8), 10), ((8, 9), 6))
    within, between = found.duplicates
    assert (within.splits, within.count, within.conflicting) == (("train", "train"), 1, 1)
    assert (between.splits, between.count, between.conflicting) == (("train", "test"), 1, 0)
    assert [name.split("/")[-1] for name in between.shown[0]] == ["2.png", "seen.png"]
    lines = found.warnings(data)
    assert lines[0] == "val has no examples of b"
    assert lines[1].startswith("duplicates within train: 1, 1 with another label, such as ")
    assert lines[2].startswith("duplicates of train in test: 1, such as ")
    for split, (mean, std) in found.statistics.items():
        np.testing.assert_array_equal(mean, statistics(getattr(data, split))[0])
        np.testing.assert_array_equal(std, statistics(getattr(data, split))[1])


def test_arrays_and_what_is_shown_of_them():
    image = np.arange(12, dtype=np.float32).reshape(6, 2, 1)
    label = np.array([2, 0, 0, 2, 2, 0])
    train, test = ArraySplit(image, label), ArraySplit(image[3:4], label[3:4])
    data = Dataset.from_splits("made", train, test, class_names="abc", origin="here")
    found = inspect(data)
    assert found.examples == {"train": 6, "test": 1} and found.sizes == ()
    assert found.warnings(data) == [
        "train has no examples of b",
        "test has no examples of a, b",
        "duplicates of train in test: 1, such as example 3 and example 0",
    ]
    np.testing.assert_array_equal(sample(data, 3), [1, 2, 0])  # two of a, one of c
    assert inspect(fake(train_size=20, test_size=10, val_fraction=0)).duplicates == ()


@pytest.mark.parametrize(
    ("task", "label", "counts"),
    [
        ("multilabel", [[0, 1], [1, 1], [0, 1]], [1, 3]),
        ("segmentation", [[[0, 1]], [[1, 1]], [[0, 1]]], [2, 4]),
        ("regression", [[0.5, 1.0], [2.0, 1.0], [0.0, 3.0]], None),
    ],
)
def test_what_is_counted_of_other_labels(task, label, counts):
    split = ArraySplit(np.arange(6, dtype=np.uint8).reshape(3, 1, 2, 1), np.array(label))
    data = Dataset.from_splits("made", split, split, class_names="ab", origin="here", task=task)
    found = {name: of.tolist() for name, of in inspect(data).counts.items()}
    assert found == ({} if counts is None else {"train": counts, "test": counts})


def run(monkeypatch, capsys, *overrides):
    monkeypatch.setattr(sys, "argv", ["inspect", *overrides])
    status = 0
    try:
        command.main()
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


@pytest.mark.parametrize("augment", ["[]", "[flip,mixup,random_resized_crop,randaugment]"])
def test_the_page(photos, tmp_path, monkeypatch, capsys, augment):
    (photos / "train" / "b").rename(photos / "train" / "<b>")
    for split in ("val", "test"):
        (photos / split / "b").rename(photos / split / "<b>")
    status, out, _ = run(
        monkeypatch, capsys,
        *("data=folder", f"data.root={photos}", "data.size=8", f"augment={augment}"),
        *("samples=2", "draws=1", f"output={tmp_path}"),
    )  # fmt: skip
    assert status == 0
    first, path = out.splitlines()
    assert first == "folder: 8 train + 4 val + 4 test examples [8, 8, 3], 2 classes"
    page = (tmp_path / "folder.html").read_text()
    assert path == str(tmp_path / "folder.html") and "data:image/png;base64,iVBOR" in page
    assert "<td>&lt;b&gt;</td><td>4</td><td>2</td><td>2</td>" in page and "<b>" not in page
    assert ("No augmentation" in page) == (augment == "[]")
    assert "None: no two examples have the same content." in page


@pytest.mark.parametrize("shape", ["[8,2]", "[4,4,4,1]", "[5,5,2]"])
def test_examples_that_are_no_pictures_are_drawn_too(tmp_path, monkeypatch, capsys, shape):
    settings = [f"data.shape={shape}", "data.train_size=20", "data.test_size=10", "samples=1"]
    status, out, _ = run(monkeypatch, capsys, "data=fake", *settings, f"output={tmp_path}")
    assert status == 0 and out.endswith("fake.html\n")
    assert (tmp_path / "fake.html").stat().st_size > 2000


def test_wrong_settings(monkeypatch, capsys):
    status, _, err = run(monkeypatch, capsys, "data=digits", "augment=[color_jitter]")
    assert status == 2 and err.startswith("error: augment.color_jitter: expected pictures")
    assert run(monkeypatch, capsys, "samples=0")[0] == 2
