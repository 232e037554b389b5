"""TFDS data sets that are not there yet: by name, with its own builders, found when prepared."""

import importlib.util

import pytest
import tensorflow_datasets as tfds

from cnnlab.data import catalogue, tfds_dataset
from cnnlab.data.prepared import prepared_folder
from cnnlab.data.splits import DataError


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is here")
def test_preparing_needs_the_extra(tmp_path):
    with pytest.raises(DataError) as caught:
        tfds_dataset("cifar100", data_dir=str(tmp_path))
    assert "cifar100: not prepared in" in str(caught.value)
    assert "cnnlab[tensorflow]" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


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
    for name in ("../cifar10", "cifar10/..", "/etc", ""):
        with pytest.raises(ValueError, match=r"^name: expected <data set> or"):
            tfds_dataset(name, data_dir=str(tmp_path))
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
