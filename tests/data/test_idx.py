"""Reading IDX files: right ones exactly, damaged ones refused by name."""

import gzip
import struct

import numpy as np
import pytest

from cnnlab.data.idx import has_idx_files, read_idx, read_split

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_reads_both_forms(tmp_path, write_idx, packed):
    made = write_idx(tmp_path / "set", packed=packed)
    assert has_idx_files(tmp_path / "set")
    for split, (images, labels) in made.items():
        image, label = read_split(tmp_path / "set", split, num_classes=10, count=len(labels))
        assert image.dtype == label.dtype == np.uint8
        assert image.shape == (len(labels), 28, 28, 1)
        np.testing.assert_array_equal(image[..., 0], images)
        np.testing.assert_array_equal(label, labels)


def damage(content, how):
    match how:
        case "magic":
            return b"\x00\x00\x0d" + content[3:], "magic number 0x00000803"
        case "zeros":
            return b"\x01" + content[1:], "magic number"
        case "axes":
            return content[:3] + b"\x01" + content[4:], "3 axes"
        case "short":
            return content[:-7], "the file holds"
        case "long":
            return content + b"\x00", "the file holds"
        case "header":
            return content[:9], "header of 16 bytes, got 9"
        case "count":
            return content[:4] + struct.pack(">I", 31) + content[8:], "announces 31 x 28 x 28"
    raise AssertionError(how)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("how", ["magic", "zeros", "axes", "short", "long", "header", "count"])
def test_refuses_damaged_files(tmp_path, write_idx, packed, how):
    write_idx(tmp_path, packed=False)
    path = tmp_path / IMAGES
    content, says = damage(path.read_bytes(), how)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=r"expected|announces") as caught:
        read_split(tmp_path, "train", num_classes=10)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [1, 0.5, -4])
def test_refuses_a_cut_gzip_file(tmp_path, keep):
    whole = gzip.compress(bytes(range(256)) * 50)
    end = int(len(whole) * keep) if isinstance(keep, float) else keep
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[:end] if keep != 1 else whole[:20] + b"\xff" * 40 + whole[60:])
    with pytest.raises(ValueError, match=r"cut.gz: damaged gzip file"):
        read_idx(path, 1)


def test_refuses_files_that_do_not_belong_together(tmp_path, write_idx):
    write_idx(tmp_path, packed=False)
    with pytest.raises(ValueError, match=rf"{IMAGES}: expected 60000 images, got 30"):
        read_split(tmp_path, "train", num_classes=10, count=60_000)
    with pytest.raises(ValueError, match=rf"{LABELS}: expected labels from 0 to 4, got"):
        read_split(tmp_path, "train", num_classes=5)
    content = (tmp_path / LABELS).read_bytes()
    (tmp_path / LABELS).write_bytes(content[:4] + struct.pack(">I", 29) + content[8:-1])
    with pytest.raises(ValueError, match=rf"{LABELS}: expected 30 labels.*got 29"):
        read_split(tmp_path, "train", num_classes=10)
    (tmp_path / LABELS).unlink()
    assert not has_idx_files(tmp_path)
    with pytest.raises(ValueError, match="found neither"):
        read_split(tmp_path, "train", num_classes=10)
