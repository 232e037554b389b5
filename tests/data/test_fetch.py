"""Where Fashion-MNIST's files come from, and what is said where they can't be had."""

import os
import time

import pytest

from cnnlab.data import fashion_mnist, fetch
from cnnlab.data.fetch import Unavailable
from cnnlab.data.splits import DataError
from cnnlab.errors import CnnlabError


def test_debian_folder(idx_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(fetch, "DEBIAN_FOLDER", idx_folder[0])
    assert fetch.debian_folder() == idx_folder[0]
    monkeypatch.setattr(fetch, "DEBIAN_FOLDER", tmp_path / "nowhere")
    with pytest.raises(Unavailable, match="not installed"):
        fetch.debian_folder()


def fake_tools(tmp_path, monkeypatch, apt_get):
    """`apt-get` and `dpkg-deb` as small shell scripts; the "package" is a copy of the files."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    log = tmp_path / "calls"
    scripts = {
        "apt-get": apt_get,
        "dpkg-deb": f'mkdir -p "$3/usr/share/datasets"\n'
        f'cp -r "{tmp_path}/files" "$3/usr/share/datasets/fashion-mnist"',
    }
    for name, body in scripts.items():
        script = tools / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\n{body}\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    return log


def test_debian_package_is_fetched_once(idx_folder, tmp_path, monkeypatch):
    calls = fake_tools(tmp_path, monkeypatch, "touch dataset-fashion-mnist_1_all.deb")
    folder = fetch.debian_package()
    assert folder == tmp_path / "cache" / "cnnlab" / "dataset-fashion-mnist"
    for file in idx_folder[0].iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    first = calls.read_text()
    assert " download dataset-fashion-mnist" in first and "dpkg-deb -x" in first
    assert fetch.debian_package() == folder
    assert calls.read_text() == first
    assert os.stat(folder).st_mode & 0o777 == 0o755


def test_package_lists_are_fetched_when_missing(idx_folder, tmp_path, monkeypatch):
    """A container image has no lists; they are then fetched into a temporary folder."""
    calls = fake_tools(
        tmp_path,
        monkeypatch,
        'case "$*" in\n'
        "*State::Lists*update) ;;\n"
        "*State::Lists*download*) touch dataset-fashion-mnist_1_all.deb ;;\n"
        '*) echo "E: Unable to locate package dataset-fashion-mnist" >&2; exit 100 ;;\n'
        "esac",
    )
    assert fetch.has_idx_files(fetch.debian_package())
    assert [" update" in line for line in calls.read_text().splitlines()].count(True) == 1


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('echo "W: slow" >&2; echo "E: Failed to fetch it" >&2; exit 100', "Failed to fetch it"),
        ("exit 3", "exit status 3"),
        ("exit 0", "gave no package"),
    ],
)
def test_a_failed_fetch_leaves_nothing(idx_folder, tmp_path, monkeypatch, script, says):
    fake_tools(tmp_path, monkeypatch, script)
    with pytest.raises(Unavailable, match=says):
        fetch.debian_package()
    assert [path.name for path in (tmp_path / "cache" / "cnnlab").iterdir()] == [
        ".dataset-fashion-mnist.lock"
    ]


def test_without_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="apt-get is not on this machine"):
        fetch.debian_package()


@pytest.mark.usefixtures("small")
def test_no_network_fails_at_once_and_lists_the_ways(tmp_path, monkeypatch):
    """A closed port stands for a network that is not there."""
    from cnnlab.data.builders.fashion_mnist import FashionMnist

    monkeypatch.setattr(fetch, "DEBIAN_FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr(FashionMnist, "URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fake_tools(tmp_path, monkeypatch, 'echo "E: Temporary failure resolving" >&2; exit 100')
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        fashion_mnist()
    assert time.monotonic() - start < 8
    text = str(caught.value)
    assert isinstance(caught.value, CnnlabError) and "\n" not in text
    for part in (
        "the Debian package is not installed",
        "apt-get download dataset-fashion-mnist: Temporary failure resolving",
        "not reachable",
        "sudo apt-get install dataset-fashion-mnist",
        "data.source=<path>",
        "data.data_dir=<folder>",
    ):
        assert part in text
    assert [path.name for path in (tmp_path / "tfds" / "fashion_mnist").iterdir()] == [".lock"]


def test_a_silent_server_is_given_up(monkeypatch):
    import socket

    monkeypatch.setattr(fetch, "_PROBE_SECONDS", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            fetch.reachable(f"http://127.0.0.1:{server.getsockname()[1]}/")()
        assert time.monotonic() - start < 3
