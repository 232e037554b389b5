"""Fashion-MNIST and MNIST: which source is taken, prepared whole or not at all, no TensorFlow."""

import functools
import http.server
import json
import logging
import multiprocessing
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cnnlab.data import fashion_mnist, fetch, mnist, obtain
from cnnlab.data.fetch import Unavailable
from cnnlab.data.splits import DataError


def assert_holds(data, made):
    """The data set's splits together hold the made-up examples, in the files' order."""
    images, labels = made["test"]
    np.testing.assert_array_equal(data.test.image[..., 0], images)
    np.testing.assert_array_equal(data.test.label, labels)
    images, labels = made["train"]
    held = {image.tobytes() for image in images.astype(np.uint8)}
    parts = [data.train, data.val]
    assert {image.tobytes() for part in parts for image in part.image} == held
    assert sum(map(len, parts)) == len(labels)


@pytest.mark.parametrize("load", [fashion_mnist, mnist])
@pytest.mark.usefixtures("small")
def test_from_a_folder(load, idx_folder, tmp_path, caplog, monkeypatch):
    folder, made = idx_folder
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)  # to caplog's handler
    caplog.set_level(logging.INFO, logger="cnnlab")
    data = load(source=str(folder), val_fraction=0.2)
    assert_holds(data, made)
    assert (len(data.train), len(data.val), len(data.test)) == (24, 6, 12)
    assert data.num_classes == 10 and len(data.class_names) == 10
    assert data.input_shape == (28, 28, 1)
    assert data.train.image.dtype == np.uint8 and data.train.label.dtype == np.int32
    assert any(f"preparing from {folder}" in text for text in caplog.messages)
    # The second time nothing is asked for: it is there.
    caplog.clear()
    assert_holds(load(source=None, val_fraction=0.0), made)
    assert any("already prepared in" in text for text in caplog.messages)
    assert not any("preparing from" in text for text in caplog.messages)
    left = sorted(path.name for path in (tmp_path / "tfds" / data.name).iterdir())
    assert left == [".lock", "4.0.0"]


def test_a_builder_brings_its_own_files(tmp_path):
    from cnnlab.data.builders.published import PublishedBuilder

    with pytest.raises(TypeError, match="abstract"):
        PublishedBuilder(data_dir=tmp_path)


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^source: expected a folder with the four IDX files"):
        fashion_mnist(source=str(tmp_path))
    assert not (tmp_path / "tfds").exists()


@pytest.mark.usefixtures("small")
def test_order_of_sources(idx_folder, monkeypatch, tmp_path, caplog):
    """Prepared, then the package's folder, then the fetched package, then TFDS's download."""
    folder, made = idx_folder
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)  # to caplog's handler
    caplog.set_level(logging.INFO, logger="cnnlab")
    asked = []

    def way(name, result):
        def find(*_):
            asked.append(name)
            if result is None:
                raise Unavailable("not here")
            return result

        monkeypatch.setattr(fetch, name, find)

    way("debian_folder", None)
    way("debian_package", folder)
    assert_holds(fashion_mnist(val_fraction=0), made)
    assert asked == ["debian_folder", "debian_package"]
    assert "fashion_mnist: preparing from apt-get download dataset-fashion-mnist" in caplog.messages
    assert_holds(fashion_mnist(val_fraction=0), made)
    assert asked == ["debian_folder", "debian_package"]

    asked.clear()
    way("debian_folder", folder)
    assert_holds(fashion_mnist(val_fraction=0, data_dir=str(tmp_path / "other")), made)
    assert asked == ["debian_folder"]


@pytest.fixture
def server(idx_folder, monkeypatch):
    """A web server on this machine with the four files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(idx_folder[0]))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()
        thread.join()


@pytest.mark.usefixtures("small")
def test_tfds_download(idx_folder, server, monkeypatch, tmp_path):
    from cnnlab.data.builders.mnist import Mnist

    monkeypatch.setattr(Mnist, "URL", server)
    assert_holds(mnist(val_fraction=0), idx_folder[1])
    left = sorted(path.name for path in (tmp_path / "tfds").rglob("*") if path.is_dir())
    assert left == ["4.0.0", "mnist"]


def test_published_checksums_are_known():
    """TFDS checks downloads against these; without them it would take anything."""
    from cnnlab.data.builders.fashion_mnist import FashionMnist
    from cnnlab.data.builders.mnist import Mnist
    from cnnlab.data.idx import FILES

    for builder in (FashionMnist, Mnist):
        urls = {f"{builder.URL}{stem}.gz" for stems in FILES.values() for stem in stems}
        assert urls == set(builder.url_infos)


@pytest.mark.usefixtures("small")
def test_damaged_files_leave_nothing(idx_folder, tmp_path):
    folder, _ = idx_folder
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(DataError, match=r"mnist: .*t10k-labels-idx1-ubyte.gz: damaged gzip"):
        mnist(source=str(folder))
    assert [entry.name for entry in (tmp_path / "tfds" / "mnist").iterdir()] == [".lock"]


def test_a_data_directory_that_cannot_be_written(idx_folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot prepare it in"):
        mnist(source=str(idx_folder[0]), data_dir=str(tmp_path / "file"))


@pytest.mark.usefixtures("small")
def test_a_disk_that_fills_while_preparing(idx_folder, tmp_path):
    """A limit on the size of files stands for the disk: one line, nothing left, then whole."""
    folder, made = idx_folder
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"mnist: cannot prepare it in .*4.0.0: ") as caught:
            mnist(source=str(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value) and "File too large" in str(caught.value)
    assert [path.name for path in (tmp_path / "tfds" / "mnist").iterdir()] == [".lock"]
    assert_holds(mnist(source=str(folder), val_fraction=0), made)


@pytest.mark.usefixtures("small")
def test_what_tfds_has_prepared_is_taken(idx_folder, tmp_path):
    """A stock data set of this name in ArrayRecord; another format is as if it was not there."""
    folder, made = idx_folder
    mnist(source=str(folder))
    root = tmp_path / "tfds" / "mnist"
    (root / "4.0.0").rename(root / "3.0.1")
    assert mnist(val_fraction=0).origin == f"prepared in {root}/3.0.1"
    for file in (root / "3.0.1").glob("*.array_record*"):
        file.rename(file.with_name(file.name.replace("array_record", "tfrecord")))
    assert_holds(mnist(source=str(folder), val_fraction=0), made)
    assert (root / "4.0.0").is_dir()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["image", "label"])
def test_a_prepared_folder_without_a_feature_is_damaged(name, idx_folder, tmp_path):
    mnist(source=str(idx_folder[0]))
    folder = tmp_path / "tfds" / "mnist" / "4.0.0"
    described = json.loads((folder / "features.json").read_text())
    del described["featuresDict"]["features"][name]
    (folder / "features.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=f"^{folder}: the prepared data set is damaged .* remove"):
        mnist()


_STOPPED = """
import os, signal, sys
from cnnlab.data.builders.mnist import Mnist
import cnnlab.data.published as published
Mnist.COUNTS = None
generate = Mnist._generate_examples
def slow(self, split, folder):
    for position, example in generate(self, split, folder):
        if split == "test" and position == 3:
            print("half", file=sys.__stdout__, flush=True)
            signal.pause()
        yield position, example
Mnist._generate_examples = slow
published.mnist(source=sys.argv[1])
"""


@pytest.mark.usefixtures("small")
def test_a_killed_preparation_leaves_no_half(idx_folder, tmp_path):
    folder, made = idx_folder
    child = subprocess.Popen(
        [sys.executable, "-c", _STOPPED, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout.readline() == "half\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    root = tmp_path / "tfds" / "mnist"
    assert not (root / "4.0.0").exists()
    assert len(list(root.iterdir())) == 2  # the lock and the unfinished folder
    assert_holds(mnist(source=str(folder), val_fraction=0), made)
    assert sorted(path.name for path in root.iterdir()) == [".lock", "4.0.0"]


def test_two_at_once(idx_folder, tmp_path, monkeypatch):
    """The second waits for the first and takes what it made."""
    folder, _ = idx_folder
    builds = []

    def slowly(builder, target, source):
        time.sleep(0.3)
        builds.append(source)
        target.mkdir()

    monkeypatch.setattr(obtain, "build", slowly)
    from cnnlab.data.builders.mnist import Mnist

    target = tmp_path / "tfds" / "mnist" / "4.0.0"
    prepare = functools.partial(obtain.obtain, Mnist, target, [("it", lambda: folder)], "")
    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == [folder]


_NO_TENSORFLOW = """
import sys
import numpy as np
import cnnlab.data
heavy = {"tensorflow_datasets", "grain", "sklearn", "mnist1d", "tensorflow", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from cnnlab.data.builders.mnist import Mnist
Mnist.COUNTS = None
data = cnnlab.data.mnist(source=sys.argv[1])
stream = cnnlab.data.mnist(placement="stream")
np.testing.assert_array_equal(stream.train.take(np.arange(5))[0], data.train.image[:5])
assert "tensorflow" not in sys.modules
import tensorflow_datasets as tfds
tfds.builder("fashion_mnist")  # the stock builder of this name is not in the way
print("fine")
"""


def test_without_tensorflow(idx_folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _NO_TENSORFLOW, str(idx_folder[0])],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"
    assert multiprocessing.active_children() == []
