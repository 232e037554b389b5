"""Small made-up data sets, a cache and a data directory that belong to one test."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds
from photographs import make
from prepared_sets import png, prepare

from cnnlab.data.idx import FILES

COUNTS = {"train": 30, "test": 12}


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx_folder(folder, *, packed=True, counts=COUNTS, seed=0):
    """Four IDX files; returns `{split: (images (n, 28, 28), labels (n,))}`."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(seed)
    made = {}
    for split, (images, labels) in FILES.items():
        n = counts[split]
        made[split] = random.randint(0, 256, (n, 28, 28)), random.randint(0, 10, n)
        for stem, array in zip((images, labels), made[split], strict=True):
            content = idx_bytes(array)
            if packed:
                (folder / f"{stem}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / stem).write_bytes(content)
    return made


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the user's cache and data sets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture
def small(monkeypatch):
    """The builders expect as many examples as `write_idx_folder` makes."""
    from cnnlab.data.builders.fashion_mnist import FashionMnist
    from cnnlab.data.builders.mnist import Mnist

    for builder in (FashionMnist, Mnist):
        monkeypatch.setattr(builder, "COUNTS", COUNTS)


@pytest.fixture
def idx_folder(tmp_path):
    """A folder of IDX files and what is in it."""
    folder = tmp_path / "files"
    return folder, write_idx_folder(folder)


@pytest.fixture
def write_idx():
    return write_idx_folder


@pytest.fixture
def photos(tmp_path):
    """A folder of twelve pictures of two classes."""
    make(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A folder that TFDS prepares data sets in."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def cifar10(root):
    return prepare(root, "cifar10", tfds.features.Image(shape=(32, 32, 3)), png, (32, 32, 3))
