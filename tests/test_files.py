"""Where the package keeps what it made, and that files appear whole or not at all."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cnnlab import files
from cnnlab.errors import WriteError


@pytest.mark.parametrize("home", ["", "relative", "~", None])
@pytest.mark.parametrize("base", ["", "relative", None])
def test_a_variable_that_is_no_absolute_path_says_nothing(home, base, monkeypatch):
    for name, value in (("HOME", home), ("XDG_CACHE_HOME", base)):
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    of_user = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert files.cache_dir() == of_user / ".cache" / "cnnlab"


@pytest.fixture(autouse=True)
def _set(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")


def test_absolute_ones_are_taken(monkeypatch):
    monkeypatch.setenv("HOME", "/a/home")
    assert files.cache_dir() == Path("/a/home/.cache/cnnlab")
    monkeypatch.setenv("XDG_CACHE_HOME", "/a/cache")
    assert files.cache_dir() == Path("/a/cache/cnnlab")


def test_a_user_without_a_home(monkeypatch):
    def unknown(_):
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(OSError, match="no home folder: set it to an absolute path: 'XDG_CACHE"):
        files.cache_dir()


def test_what_is_sealed_is_opened_only_as_it_was():
    sealed = files.seal(b"content")
    assert files.unseal(sealed) == b"content" and files.unseal(files.seal(b"")) == b""
    for bad in (b"", b"content", sealed[:-1], sealed[1:], sealed + b"0", bytes(len(sealed))):
        assert files.unseal(bad) is None


def test_whether_a_file_can_be_made_is_tried_without_making_it(tmp_path):
    (file := tmp_path / "file").touch()
    (link := tmp_path / "link").symlink_to("nowhere")
    for fine in (tmp_path / "a" / "b" / "c", file):
        files.try_writing(fine)
    for path, error, named in (
        (tmp_path, IsADirectoryError, tmp_path),
        (file / "a" / "b", NotADirectoryError, file),
        (link / "a", FileNotFoundError, link),
    ):
        with pytest.raises(error) as refused:
            files.try_writing(path)
        assert refused.value.filename == str(named)
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_a_file_is_replaced_whole_or_not(tmp_path):
    file = tmp_path / "folder" / "file"
    files.replace_file(file, lambda out: out.write(b"first"))

    def fails(out):
        out.write(b"sec")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        files.replace_file(file, fails)
    assert file.read_bytes() == b"first" and list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("what", ["bytes", "figure"])
def test_a_full_disk_leaves_what_was_there(what, tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.png"
    figure = Figure(figsize=(1, 1))

    def write():
        if what == "figure":
            files.write_figure(path, figure, dpi=20)
        else:
            files.write_atomically(path, b"content")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    write()
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG" if what == "figure" else b"content")
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"file.png: could not be written: No space left on dev"):
        write()
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def umask():
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_folder_appears_whole_or_not(tmp_path):
    target = tmp_path / "folder"
    (tmp_path / ".folder.part-killed").mkdir()
    with files.appearing(target) as part:
        (part / "file").write_text("first")
    with pytest.raises(RuntimeError, match="stop"), files.appearing(target) as part:
        (part / "file").write_text("second")
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == [target] and (target / "file").read_text() == "first"


@pytest.mark.parametrize("home", ["own", "relative", "nowhere"])
def test_matplotlib_writes_in_our_folder_or_a_temporary_one(home, tmp_path, monkeypatch):
    """It says nothing, and leaves nothing where the user is."""
    (tmp_path / "file").touch()
    base = {
        "own": tmp_path / "cache",
        "relative": tmp_path / "c",
        "nowhere": tmp_path / "file" / "c",
    }
    code = (
        "from cnnlab.files import lend_matplotlib_a_folder as lend; lend()\n"
        "import matplotlib; print(matplotlib.get_configdir(), matplotlib.get_cachedir())"
    )
    environment = {
        **os.environ,
        "HOME": "here" if home == "relative" else str(tmp_path / "file"),
        "XDG_CACHE_HOME": str(base[home]),
        "MPLCONFIGDIR": "",
        "PYTHONPATH": str(Path(files.__file__).parent.parent),
    }
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    config, cache = map(Path, done.stdout.split())
    assert config == cache
    assert (config == base[home] / "cnnlab" / "matplotlib") is (home != "nowhere")
    assert home != "nowhere" or not config.exists()
    assert not (tmp_path / "here").exists()
