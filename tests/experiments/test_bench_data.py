"""The benchmark of reading pictures: all of them are read, as they should be."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from cnnlab.bench import loading
from cnnlab.data.decode import open_picture
from experiments import bench_data

TINY = ["pictures=6", "side=40", "size=12", "batch_size=4", "rounds=2"]


def test_a_table_of_what_was_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", *TINY, "peers=[]", f"output={tmp_path}"])
    bench_data.main()
    found = json.loads((tmp_path / "bench_data.json").read_text())
    assert list(found["seconds"]) == ["cnnlab"] and len(found["seconds"]["cnnlab"]) == 2
    assert "| cnnlab | " in capsys.readouterr().out


def test_pictures_and_batches(tmp_path):
    paths = loading.make_pictures(tmp_path, 5, 40, 0)
    sizes = {open_picture(path).size for path in paths}
    assert len(sizes) == 5 and all(24 <= side <= 56 for size in sizes for side in size)
    batches = loading._ours(paths, loading.TRANSFORMS, 12, 2)
    images = list(batches(np.array([4, 0, 2])))
    assert [image.shape for image in images] == [(2, 12, 12, 3), (1, 12, 12, 3)]


@pytest.mark.parametrize("kind", ["pictures", "tensors"])
def test_torchvision_reads_the_same(tmp_path, kind):
    """A crop of all of a picture of one colour and the transforms of nothing."""
    pytest.importorskip("torchvision", reason="compares with torchvision", exc_type=ImportError)
    Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "0.png")
    paths = [str(tmp_path / "0.png")]
    for made in (loading._ours, lambda *a: loading._theirs(*a, kind)):
        [image] = made(paths, ["random_resized_crop"], 8, 1)(np.array([0]))
        values = np.asarray(image).reshape(-1)
        assert sorted(set(values.tolist())) == [50, 100, 200]
