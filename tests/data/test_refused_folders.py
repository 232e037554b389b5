"""Folders of one's own pictures that are not as they should be."""

import logging
import os
import shutil
from pathlib import Path

import pytest
from photographs import make

from cnnlab.data import folder
from cnnlab.data.splits import DataError


def test_what_is_not_as_it_should_be(photos, tmp_path, caplog, monkeypatch):
    def refused(says, kind=ValueError, root=photos, **options):
        with pytest.raises(kind, match=says) as caught:
            folder(root, **{"size": 8, **options})
        assert "\n" not in str(caught.value)

    refused("^root: no such folder: ", root=tmp_path / "nowhere")
    refused(r"^size: the pictures differ in size, from 20 x 30 to 25 x 31: give the", size=None)
    refused("^size: expected a side >= 1", size=0)
    refused("^channels: expected 1, 3 or None, got 2", channels=2)
    refused("^depth: expected 8 or 16, got 12", depth=12)
    refused("^test_fraction: 0 of each class", test_fraction=0)
    refused("^test_fraction: expected a number from 0 to below 1, got 1", test_fraction=1)
    (photos / "empty").mkdir()
    refused("^root: the folder of the class 'empty' holds no pictures")
    (photos / "empty").rmdir()
    shutil.move(photos / "dog", tmp_path / "dog")
    refused("^root: expected a folder .* 2 or more classes in .*photos, found only 'cat'")
    shutil.move(tmp_path / "dog", photos / "dog")
    (photos / ".hidden").mkdir()
    (photos / "cat" / ".DS_Store").write_bytes(b"x")
    whole = [len(folder(photos, size=8).train)]
    (photos / "cat" / "notes.txt").write_text("These are cats.")
    (photos / "cat" / "dangling.jpg").symlink_to("nothing")
    os.mkfifo(photos / "cat" / "pipe.png")
    content = (photos / "dog" / "3.jpg").read_bytes()
    Path(os.fsdecode(bytes(photos / "dog") + b"/cut\xff.jpg")).write_bytes(
        content[: len(content) // 2]
    )
    refused(
        r"^broken: .*dangling.jpg can't be read: No such file or directory; .*notes.txt is not a"
        r" picture that can be read \(of .*\); .*pipe.png is not a file; and 1 more;"
        r" data.broken=skip leaves such files out$"
    )
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    assert [len(folder(photos, size=8, broken="skip").train)] == whole
    [said] = {m for m in caplog.messages if "are left out" in m}
    assert said.startswith("4 of 16 files are left out: ") and "\\xff" not in said
    shutil.move(photos / "dog", tmp_path / "dog")
    (photos / "dog").mkdir()
    (photos / "dog" / "a.txt").write_text("x")
    refused("^broken: no training picture of the class 'dog' is left", broken="skip")
    for place in (photos, photos / "dog"):
        (place / "loop").symlink_to("loop")
        refused("loop can't be read: Too many levels of symbolic links", DataError)
        (place / "loop").unlink()
    os.symlink(photos, photos / "dog" / "again")
    refused("^root: the link .*again leads back to a folder that it is in")
    os.rename(photos / "dog", os.fsdecode(bytes(photos) + b"/\xff"))
    refused(r"^root: expected names of classes in UTF-8 that can be printed, got .*\\xff$")


def test_folders_of_splits_that_are_not_as_they_should_be(tmp_path):
    root = tmp_path / "photos"
    make(root / "train", 3)
    make(root / "test", 1, classes=("cow",))
    with pytest.raises(
        ValueError, match=r"^root: test/ has the class 'cow', which train/ does not"
    ):
        folder(root, size=8)
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    with pytest.raises(ValueError, match=r"^root: test/ has no pictures in folders of classes"):
        folder(root, size=8)
    (root / "more").mkdir()
    with pytest.raises(ValueError, match=r"^root: expected beside train/ only .*, found more/"):
        folder(root, size=8)
    for name in ("more", "test"):
        shutil.rmtree(root / name)
    (root / "valid").mkdir()
    make(root / "val", 1)
    with pytest.raises(ValueError, match="two folders of validation pictures"):
        folder(root, size=8)
