"""What stands for the examples of a data set: their content, wherever it lies."""

import shutil

import numpy as np
import pytest

from cnnlab.config import compose
from cnnlab.config.naming import run_directory
from cnnlab.config.objects import runtime_and_data
from cnnlab.data import ArraySplit, SourceSplit, fashion_mnist
from cnnlab.data.builders.fashion_mnist import FashionMnist
from cnnlab.data.fingerprint import fingerprint


class ListSource:
    """Random access to arrays, as records would give it."""

    def __init__(self, image, label):
        self.image, self.label = image, label

    def __len__(self):
        return len(self.label)

    def __getitems__(self, positions):
        return [(self.image[p], int(self.label[p])) for p in positions]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
def test_every_pixel_label_and_place_counts(dtype):
    random = np.random.RandomState(0)
    image, label = random.randint(0, 256, (40, 3, 2, 1)).astype(dtype), random.randint(0, 9, 40)
    whole = fingerprint(ArraySplit(image, label))
    assert fingerprint(SourceSplit(ListSource(image, label), (3, 2, 1), dtype=dtype)) == whole
    pixel, other = image.copy(), label.copy()
    pixel[17, 1, 1, 0] += 1
    other[23] += 1
    different = [
        fingerprint(ArraySplit(pixel, label)),
        fingerprint(ArraySplit(image, other)),
        fingerprint(ArraySplit(image[::-1], label[::-1])),
        fingerprint(ArraySplit(image[:-1], label[:-1])),
        fingerprint(ArraySplit(image[:20], label[:20]), ArraySplit(image[20:], label[20:])),
    ]
    assert len({whole, *different}) == 1 + len(different)


@pytest.mark.usefixtures("small")
def test_other_files_are_another_run_and_moved_ones_the_same(write_idx, tmp_path, monkeypatch):
    """Through the config: what decides is what was prepared, not where or from which folder."""
    for name, seed in (("a", 0), ("same", 0), ("b", 1)):
        write_idx(tmp_path / name, seed=seed, packed=name != "same")

    def run(source, data_dir):
        given = [f"data.{k}={v}" for k, v in (("source", source), ("data_dir", data_dir)) if v]
        cfg = compose(["data=fashion_mnist", "batch_size=8", *given])
        data = runtime_and_data(cfg)[1]
        return run_directory(cfg, data=data.fingerprint)

    one = run(tmp_path / "a", tmp_path / "one")
    assert run(tmp_path / "a", tmp_path / "one") == one == run(tmp_path / "same", tmp_path / "two")
    assert run(tmp_path / "b", tmp_path / "three") != one
    shutil.move(tmp_path / "one", tmp_path / "moved")
    assert run(None, tmp_path / "moved") == one
    with pytest.raises(ValueError, match=r"^data.source: .*b holds other examples than those prep"):
        run(tmp_path / "b", tmp_path / "moved")
    # The examples as they were published are those of the config alone.
    made = fashion_mnist(data_dir=str(tmp_path / "moved"))
    monkeypatch.setattr(FashionMnist, "PUBLISHED", made.fingerprint)
    assert run(None, tmp_path / "moved") == run_directory(compose(["batch_size=8"])) != one
