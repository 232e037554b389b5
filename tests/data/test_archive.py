"""One's own arrays, passed in or from a file: what they are taken for, and refused."""

import itertools
import logging
import os
import zipfile

import numpy as np
import pytest

from cnnlab.config import build, compose
from cnnlab.config.naming import run_directory
from cnnlab.data import arrays, from_arrays, npz
from cnnlab.data.splits import DataError

RANDOM = np.random.RandomState(0)
IMAGE = RANDOM.randint(0, 256, (30, 6, 5, 3)).astype(np.uint8)
LABEL = np.arange(30) % 3
MAP = IMAGE[..., 0] // 100
TOKENS = np.random.default_rng(1).integers(0, 300, (30, 8))
NEXT = np.where(np.arange(8) % 3, np.roll(TOKENS, -1, 1), -1)


def split_of(image=IMAGE, label=LABEL, count=12):
    return image[:count], label[:count]


def saved(tmp_path, **content):
    np.savez(tmp_path / "x.npz", **content)
    return tmp_path / "x.npz"


NAMES = {
    "keras": ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
    "medmnist": tuple(f"{s}_{k}" for s in ("train", "val", "test") for k in ("images", "labels")),
    "prefixed": tuple(f"{s}_{k}" for s in ("train", "valid", "test") for k in ("x", "y")),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_splits_of_a_file(tmp_path, names):
    parts = [IMAGE[:15], LABEL[:15, None], IMAGE[15:20], LABEL[15:20], IMAGE[20:], LABEL[20:]]
    data = arrays(saved(tmp_path, **dict(zip(names, parts, strict=True))))
    for split, start, end in ((data.train, 0, 15), (data.val, 15, 20), (data.test, 20, 30)):
        np.testing.assert_array_equal(split.image, IMAGE[start:end])
        np.testing.assert_array_equal(split.label, LABEL[start:end])
    assert (data.input_shape, data.high, data.class_names) == ((6, 5, 3), 255, ("0", "1", "2"))


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_one_split_is_divided(tmp_path, names):
    file = saved(tmp_path, **dict(zip(names, (IMAGE, LABEL), strict=True)))
    data = arrays(file, class_names=["a", "b", "c", "none"], test_fraction=0.2, val_fraction=0.25)
    assert [len(s) for s in (data.train, data.val, data.test)] == [18, 6, 6]
    rows = np.concatenate([s.image for s in (data.train, data.val, data.test)])
    assert {r.tobytes() for r in rows} == {r.tobytes() for r in IMAGE}
    assert data.class_names == ("a", "b", "c", "none")


@pytest.mark.parametrize(
    ("shape", "dtype", "channels", "found"),
    [
        ((12, 6, 5, 3), np.uint8, "auto", (6, 5, 3)),
        ((12, 6, 5, 1), np.float64, "auto", (6, 5, 1)),
        ((12, 6, 5), np.uint8, "auto", (6, 5, 1)),
        ((12, 6, 5), np.float32, "last", (6, 5)),
        ((12, 6, 5), np.float32, "none", (6, 5, 1)),
        ((12, 3, 6, 5), np.uint8, "first", (6, 5, 3)),
        ((12, 4, 6, 5), np.int16, "none", (4, 6, 5, 1)),
        ((12, 7), np.float32, "auto", (7, 1)),
        ((12, 6, 5), np.float32, "auto", None),
        ((12, 3, 6, 5), np.uint8, "auto", None),
        ((12, 6, 6, 6), np.uint8, "auto", None),
        ((12, 1, 4, 4), np.uint8, "auto", None),
    ],
)
def test_where_the_channels_are(shape, dtype, channels, found):
    image = RANDOM.randint(0, 256, shape).astype(dtype)
    if found is None:
        with pytest.raises(ValueError, match=r"^channels: expected last, first or none, .*tell$"):
            from_arrays((image, LABEL[:12]), channels=channels)
        return
    data = from_arrays((image, LABEL[:12]), (image, LABEL[:12]), channels=channels, val_fraction=0)
    assert data.input_shape == found
    assert data.train.image.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    wanted = np.moveaxis(image, 1, -1) if channels == "first" else image.reshape(12, *found)
    np.testing.assert_array_equal(data.train.image, wanted)


def test_texts_are_classes():
    names = np.array(["pear", "apple", "fig"])
    for label in (names[LABEL], np.char.encode(names[LABEL], "utf-8")):
        data = from_arrays((IMAGE, label), (IMAGE[:3], label[:3]), val_fraction=0)
        assert data.class_names == ("apple", "fig", "pear")
        np.testing.assert_array_equal(data.train.label[:3], [2, 0, 1])
    assert from_arrays((IMAGE.astype(np.uint16), LABEL)).high == 65535
    assert from_arrays((IMAGE[..., 0] > 99, LABEL), channels="none").train.image.max() == 1


@pytest.mark.parametrize(
    ("task", "label", "found", "names"),
    [
        ("regression", LABEL / 4, LABEL[:, None] / 4, 1),
        ("regression", np.stack([LABEL, -LABEL], 1), np.stack([LABEL, -LABEL], 1), 2),
        ("multilabel", np.eye(3)[LABEL], np.eye(3)[LABEL], 3),
        ("multilabel", LABEL == 2, LABEL[:, None] == 2, 1),
        ("segmentation", MAP, MAP, 3),
        ("segmentation", MAP[..., None] > 1, MAP > 1, 2),
    ],
)
def test_labels_of_other_tasks(tmp_path, task, label, found, names):
    parts = {
        "x_train": IMAGE[:20],
        "y_train": label[:20],
        "x_test": IMAGE[20:],
        "y_test": label[20:],
    }
    data = arrays(saved(tmp_path, **parts), task=task, val_fraction=0)
    assert (data.task, data.class_names) == (task, tuple(map(str, range(names))))
    assert data.positions == ((6, 5) if task == "segmentation" else ())
    for split, part in ((data.train, found[:20]), (data.test, found[20:])):
        assert split.label.shape == part.shape
        np.testing.assert_allclose(split.label, part)
    named = from_arrays((IMAGE, label), task=task, class_names=[f"n{k}" for k in range(names)])
    assert named.class_names[0] == "n0" and len(named.val) == 2


@pytest.mark.parametrize(
    ("train", "options", "says"),
    [
        ((IMAGE, LABEL, LABEL), {}, r"^train: expected \(images, labels\), got 3 arrays"),
        ((IMAGE, LABEL[:9]), {}, r"^train: expected 30 labels .* got int64 \[9\]"),
        ((IMAGE, LABEL + 0.5), {}, r"^train: expected 30 labels .* got float64 \[30\]"),
        ((IMAGE, np.eye(3)[LABEL]), {}, r"^train: .* \[30, 3\]; task=regression takes numbers, ta"),
        ((IMAGE, LABEL / 2), {"task": "multilabel"}, "expected 1 labels of 0 or 1 .* has 0.5"),
        ((IMAGE, LABEL.astype(str)), {"task": "multilabel"}, "^train: expected 30 rows of 0 and 1"),
        ((IMAGE, LABEL[:9]), {"task": "regression"}, r"^train: expected 30 rows of num.* \[9\]$"),
        ((IMAGE, LABEL * 1e99), {"task": "regression"}, "expected 1 finite numbers .* has inf"),
        (
            (IMAGE, MAP[:, 1:]),
            {"task": "segmentation"},
            r"for each position \[30, 6, 5\], .* 5, 5\]",
        ),
        ((IMAGE, MAP / 2), {"task": "segmentation"}, "^train: expected a whole number for each po"),
        (
            (IMAGE, MAP),
            {"task": "segmentation", "class_names": ["a", "b"]},
            "expected labels from 0 to 1, the split .* has 2",
        ),
        ((IMAGE, LABEL * 0), {}, "^train: expected labels of 2 or more classes, got only '0'"),
        ((IMAGE.astype(str), LABEL), {}, "^train: expected images of numbers, got <U3"),
        ((IMAGE[:0], LABEL[:0]), {}, r"^train: expected at least 1 image .*\[0, 6, 5, 3\]"),
        ((IMAGE[:, 0, 0, 0], LABEL), {"channels": "last"}, r"^train: expected at least 1 image"),
        ((IMAGE, LABEL), {"test": (IMAGE[:, 1:], LABEL)}, r"^test: expected images of shape"),
        ((IMAGE, LABEL), {"test": (IMAGE, LABEL.astype(str))}, "^train: expected either texts as"),
        (
            (IMAGE, LABEL / 2),
            {"task": "regression", "class_names": ["a", "b"]},
            "^class_names: expected 1 names, one for each column of the labels, got 2",
        ),
        ((IMAGE, LABEL.astype(str)), {"class_names": ["a"]}, "^class_names: expected either texts"),
        ((IMAGE, np.array(["a\n", "b"])[LABEL % 2]), {}, "^train: expected labels that can be pri"),
        ((IMAGE, LABEL), {"test_fraction": 0}, "^test_fraction: expected a number above 0"),
        ((IMAGE, LABEL), {"test_fraction": 0.01}, "^test_fraction: 0.01 of 30 training examples"),
        ((IMAGE, LABEL), {"class_names": ["a", "b"]}, "expected labels from 0 to 1, .* has 2"),
        ((IMAGE, LABEL - 1), {}, "expected labels from 0 to 1, the split .* has -1"),
        ((np.where(IMAGE < 9, np.nan, IMAGE), LABEL), {}, "are not finite"),
        ((IMAGE, LABEL * 10**15), {}, "^train: expected classes from 0 to 65,535, got 2,000,000,"),
        (
            (IMAGE, MAP * np.int64(65_536)),
            {"task": "segmentation"},
            "^train: expected classes from 0 to 65,",
        ),
        ((IMAGE, MAP), {"task": "tokens"}, r"^train: expected tokens, whole numbers \(n, length"),
        ((TOKENS * 1.0, NEXT), {"task": "tokens"}, "^train: expected tokens, .* float64"),
        ((TOKENS - 9, NEXT), {"task": "tokens"}, "^train: expected tokens from 0 to 65,535, got -"),
        ((TOKENS, NEXT[:, 1:]), {"task": "tokens"}, r"^train: expected .* position \[30, 8\]"),
        ((TOKENS, NEXT * 0 - 1), {"task": "tokens"}, "^train: expected labels .*, got none"),
        ((TOKENS, LABEL), {"vocabulary": 9}, "expected tokens from 0 to 8, the split train has"),
        ((TOKENS, LABEL), {"vocabulary": 0}, "^vocabulary: expected from 1 to 65,536 tokens, got"),
        ((TOKENS, LABEL), {"vocabulary": 999, "channels": "last"}, "^channels: expected auto for"),
        ((IMAGE, np.array([b"a", b"\xff"])[LABEL % 2]), {}, r"^train: .* UTF-8, got b'\\xff'"),
    ],
)
def test_arrays_that_are_refused(train, options, says):
    with pytest.raises((ValueError, DataError), match=says) as caught:
        from_arrays(train, **options)
    assert "\n" not in str(caught.value)


def test_tokens_with_a_label_at_each_position_or_one(tmp_path):
    file = saved(tmp_path, x=TOKENS, y=np.where(NEXT < 0, 299, NEXT))
    data = arrays(file, task="tokens", ignore_label=299, val_fraction=0, test_fraction=0.5)
    top = TOKENS.max()
    assert (data.input_shape, data.vocabulary, data.positions) == ((8,), top + 1, (8,))
    train = from_arrays((TOKENS, NEXT), (TOKENS, NEXT), task="tokens", val_fraction=0).train
    np.testing.assert_array_equal(train.image, TOKENS)
    np.testing.assert_array_equal(train.label, NEXT)
    assert train.image.dtype == np.int32  # whatever type the file has
    kinds = from_arrays((TOKENS % 200, LABEL), vocabulary=256)
    assert (kinds.task, kinds.num_classes, kinds.vocabulary) == ("classification", 3, 256)
    assert kinds.train.image.dtype == np.uint8


def test_classes_without_an_example_are_said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    from_arrays((IMAGE, LABEL))
    assert caplog.text == ""
    from_arrays((IMAGE, LABEL * 7), (IMAGE[:3], np.array([0, 3, 1])))
    assert "no training example has 12 of 15 labels: '1', '2', '3', '4'," in caplog.text
    from_arrays((IMAGE, MAP), task="segmentation", class_names=["a", "b", "c", "rare"])
    assert "1 of 4 labels: 'rare'" in caplog.text
    from_arrays((IMAGE, np.where(MAP == 2, 255, MAP)), task="segmentation")
    assert "data.ignore_label=255 leaves" in caplog.text
    from_arrays((IMAGE, np.eye(3)[LABEL] * [1, 0, 1]), task="multilabel")
    assert "1 of 3 labels: '1'" in caplog.text


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_files_that_are_refused(tmp_path, monkeypatch):
    def refused(file, says):
        with pytest.raises(ValueError, match=says) as caught:
            arrays(file)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "absent.npz", "^file: .*absent.npz can't be read: No such file or directory")
    refused(tmp_path, "^file: .* can't be read: Is a directory")
    refused(saved(tmp_path, a=IMAGE), "^file: expected x_train .*; .*x.npz holds a$")
    refused(saved(tmp_path, x=IMAGE), "^file: .* holds x without y$")
    refused(saved(tmp_path, x_test=IMAGE, y_test=LABEL), "^file: .* holds x_test, y_test$")
    objects = np.empty(2, object)
    objects[:] = [Evil(str(tmp_path / "made"))] * 2
    refused(saved(tmp_path, x=objects, y=LABEL[:2]), "^file: .* is none: Object arrays cannot be")
    assert not (tmp_path / "made").exists()
    np.save(tmp_path / "x.npy", IMAGE)
    refused(tmp_path / "x.npy", "^file: expected an .npz of arrays .* is none: File is not a zip")
    whole = saved(tmp_path, x=IMAGE, y=LABEL).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        refused(tmp_path / "cut.npz", "^file: expected an .npz of arrays")
    middle = bytearray(whole)
    middle[400] ^= 255
    (tmp_path / "bit.npz").write_bytes(middle)
    refused(tmp_path / "bit.npz", "^file: expected an .npz of arrays .*Bad CRC-32")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as file:
        file.writestr("x.npy", b"no array")
        file.writestr("y.npy", b"no array")
    refused(tmp_path / "text.npz", r"^train: expected images of numbers, got \|S8")
    monkeypatch.setattr(npz, "memory", lambda: 1000)
    refused(saved(tmp_path, x=IMAGE, y=LABEL), r"^file: .* announces [\d,]+ bytes, more than the")


def test_each_change_of_the_arrays_is_another_run(tmp_path):
    """One value of one image, one label, a type, a shape, an order, a split; the place is none."""
    cfg = compose(["data=arrays", "data.file=x.npz"])
    image, label = IMAGE.copy(), LABEL.copy()

    def run(image=image, label=label, **more):
        data = from_arrays((image, label), **more)
        return run_directory(cfg, data=data.fingerprint)

    runs = [run()]
    for place in range(30):
        image[place, 1, 2, 0] ^= 1
        runs.append(run())
        label[place] = (label[place] + 1) % 3
        runs.append(run())
    runs += [run(image.astype(np.float32)), run(image[:, ::-1]), run(image[::-1], label[::-1])]
    runs += [run(image[:-1], label[:-1]), run(image[:, :-1]), run(image[..., :1])]
    runs += [run(label=np.array(names)[label]) for names in (["a", "b", "c"], ["a", "b", "d"])]
    runs += [run(test=(image, label)), run(test=(image[:9], label[:9]), val=(image, label))]
    assert all(a != b for a, b in itertools.combinations(runs, 2)) and len(runs) == 71
    assert run() == run() == run(image.copy())
    file = saved(tmp_path, x=image, y=label)
    assert arrays(file).fingerprint == from_arrays((image, label)).fingerprint


def test_from_a_file_to_an_experiment(tmp_path):
    file = saved(tmp_path, x=IMAGE, y=LABEL)
    overrides = ["data=arrays", f"data.file={file}", "backbone=mlp", "norm=none", "batch_size=8"]
    experiment = build(compose([*overrides, "augment=[flip,randaugment]"]))
    batch = next(experiment.train_loader.handles())
    assert batch.image.shape == (8, 6, 5, 3) and batch.image.dtype == np.uint8
    assert [len(s) for s in (experiment.data.train, experiment.data.test)] == [22, 6]
    moved = tmp_path / "moved.npz"
    os.rename(file, moved)
    again = build(compose([*overrides, "augment=[flip,randaugment]", f"data.file={moved}"]))
    assert again.directory.path == experiment.directory.path
    with pytest.raises(ValueError, match=r"^data.file: .*x.npz can't be read: No such file"):
        build(compose(overrides))
