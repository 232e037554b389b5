"""Prepared data sets whose files are damaged: what is said, and what is not run."""

import shutil

import pytest

from cnnlab.data import loader, tfds_dataset
from cnnlab.data.splits import DataError


def remove(folder, name):
    next(folder.glob(name)).unlink()


def replace(folder, name, change):
    path = next(folder.glob(name))
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: replace(f, "*train.array_record*", lambda c: c[: len(c) // 2]), "damaged"),
        (lambda f: replace(f, "*train.array_record*", lambda c: b""), "damaged"),
        (lambda f: replace(f, "*test.array_record*", lambda c: c[:64] + bytes(len(c) - 64)), "dam"),
        (lambda f: remove(f, "*test.array_record*"), "No such file"),
        (lambda f: replace(f, "dataset_info.json", lambda c: b"\0\xff"), "damaged"),
        (lambda f: replace(f, "dataset_info.json", lambda c: b"{}"), "damaged"),
        (
            lambda f: replace(f, "dataset_info.json", lambda c: c.replace(b'"24"', b'"5"')),
            "holds 24",
        ),
        (
            lambda f: replace(f, "dataset_info.json", lambda c: c.replace(b'"8"', b'"1e15"')),
            "holds 8 records, 1000000000000000 are announced",
        ),
        (lambda f: replace(f, "features.json", lambda c: c[:99]), "damaged"),
        (lambda f: replace(f, "features.json", lambda c: b"[1]"), "damaged"),
        (
            lambda f: replace(f, "features.json", lambda c: c.replace(b'"32"', b'"33"')),
            "an image of .32, 32, 3., expected .33, 33, 3.",
        ),
        (
            lambda f: replace(f, "features.json", lambda c: c.replace(b'ses": "10"', b'ses": "2"')),
            "expected labels from 0 to 1",
        ),
        (
            lambda f: replace(
                f,
                "features.json",
                lambda c: c.replace(b"tensorflow_datasets.core.features.text", b"made_up.on_path"),
            ),
            "features.json names the class 'made_up.on_path",
        ),
    ],
)
def test_a_damaged_folder_is_named_with_the_remedy(cifar10, tmp_path, damage, says, monkeypatch):
    folder = tmp_path / "cifar10" / "3.0.2"
    shutil.copytree(cifar10, folder)
    damage(folder)
    # TFDS imports what features.json names.
    (tmp_path / "made_up.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        tfds_dataset("cifar10", data_dir=str(tmp_path))
    text = str(caught.value)
    assert text.startswith(str(folder)) and "\n" not in text
    assert "remove this folder" in text or "expected" in text


@pytest.mark.parametrize("workers", [0, 1])
def test_damage_met_while_streaming(cifar10, tmp_path, workers):
    folder = tmp_path / "cifar10" / "3.0.2"
    shutil.copytree(cifar10, folder)
    options = {"placement": "stream", "workers": workers, "val_fraction": 0}
    data = tfds_dataset("cifar10", data_dir=str(tmp_path), **options)
    replace(folder, "*train.array_record*", lambda c: bytes(len(c)))
    batches = loader(data.train, 4, seed=0).handles()
    with pytest.raises(DataError, match="is damaged") as caught:
        [next(batches) for _ in range(6)]
    assert "\n" not in str(caught.value)
