"""One's own pictures: what is in a folder, how it is divided and read."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from photographs import make, save, smooth
from PIL import Image

from cnnlab.config import build, compose
from cnnlab.config.naming import run_directory
from cnnlab.data import folder, inventory, loader
from cnnlab.data.decode import open_picture, resize, to_array
from cnnlab.data.inventory import look_at
from cnnlab.data.perturb import ColorJitter, RandAugment, RandomResizedCrop
from cnnlab.data.picture import read_picture
from cnnlab.data.splits import DataError
from cnnlab.train.predict import describe, form_of

EXIF = 0x0112


def files(split):
    return [os.path.relpath(split.pictures.paths[p]) for p in split.positions]


def test_classes_are_folders_and_shares_of_each_are_set_aside(photos):
    data = folder(photos, size=[8, 12], val_fraction=0.2, test_fraction=0.34)
    assert data.class_names == ("cat", "dog") and data.input_shape == (8, 12, 3)
    for split, each in ((data.train, 3), (data.val, 1), (data.test, 2)):
        np.testing.assert_array_equal(np.bincount(split.take(np.arange(len(split)))[1]), [each] * 2)
        assert split.take(np.arange(1))[0].dtype == np.uint8
    every = [set(files(split)) for split in (data.train, data.val, data.test)]
    assert len(set.union(*every)) == 12 == sum(map(len, every))
    # What it is called does not count, what it holds does; one file more changes little.
    os.rename(photos / "cat" / "0.jpg", photos / "cat" / "z.jpg")
    again = folder(photos, size=[8, 12], val_fraction=0.2, test_fraction=0.34)
    renamed = {name.replace("z.jpg", "0.jpg") for name in files(again.test)}
    assert renamed == every[2]


def test_a_picture_becomes_what_prediction_makes_of_it(photos):
    """Of a large JPEG too, which is decoded at a part of its size."""
    for name, mode in (("cat", "RGB"), ("dog", "CMYK")):
        large = smooth(200, 333, 7).convert(mode)
        save(large, photos / name / "large.jpg", exif=_turned(large, 6))
    data = folder(photos, size=[9, 11], test_fraction=0.3)
    form = form_of(describe(data))
    assert form.fit == "stretch"
    for place, path in enumerate(files(data.train)):
        np.testing.assert_array_equal(
            data.train.take(np.array([place]))[0][0], read_picture(path, form)
        )
    large = photos / "cat" / "large.jpg"
    assert open_picture(large, near=(9, 11)).size == (25, 42)  # turned, an eighth
    whole = resize(to_array(open_picture(large), 3), (9, 11)).astype(int)
    assert np.abs(whole - read_picture(large, form)).mean() < 2


def _turned(picture, how):
    exif = picture.getexif()
    exif[EXIF] = how
    return exif


def _png16(values, path):
    save(Image.fromarray(values.astype(np.uint16)), path)


def test_formats_colours_depths_and_turns(tmp_path):
    root = tmp_path / "photos"
    plain = smooth(16, 24, 1)
    expected = np.asarray(plain).astype(int)
    save(plain, root / "a" / "0.png")
    save(plain, root / "a" / "1.webp", lossless=True)
    save(plain, root / "a" / "2.jpg", quality=98, subsampling=0)
    save(plain.convert("CMYK"), root / "a" / "3.jpg", quality=98)
    save(plain.transpose(Image.Transpose.ROTATE_90), root / "a" / "4.png", exif=_turned(plain, 6))
    save(plain.convert("RGBA"), root / "a" / "5.png")
    grey = np.asarray(plain.convert("L")).astype(np.uint16)
    save(plain.convert("L"), root / "b" / "0.png")
    _png16(grey * 257, root / "b" / "1.png")
    save(plain.convert("LA"), root / "b" / "2.png")
    data = folder(root, val_fraction=0, test_fraction=0.2)
    assert data.input_shape == (16, 24, 3) and data.fit == "pad" and data.high == 255
    for split in (data.train, data.test):
        for place, path in enumerate(files(split)):
            (image,), (label,) = split.take(np.array([place]))
            wanted = expected if label == 0 else np.repeat(grey[..., None], 3, -1)
            limit = 12 if path.endswith(".jpg") else 1
            assert np.abs(image - wanted).max() <= limit, path
    shutil.rmtree(root / "a")
    shutil.copytree(root / "b", root / "a")
    (root / "a" / "1.png").unlink()
    assert folder(root, val_fraction=0).input_shape == (16, 24, 1)  # all of them are grey
    _png16(grey * 257 + 5, root / "a" / "1.png")
    deep = folder(root, depth=16, val_fraction=0)
    assert deep.high == 65535 and deep.train.dtype == np.float32
    place = files(deep.train).index(os.path.relpath(root / "a" / "1.png"))
    np.testing.assert_array_equal(deep.train.take(np.array([place]))[0][0, ..., 0], grey * 257 + 5)


def test_splits_of_their_own(tmp_path):
    root = tmp_path / "photos"
    make(root / "train", 5)
    make(root / "valid", 2)
    make(root / "test", 3, classes=("dog",))
    data = folder(root, size=8)
    assert [len(s) for s in (data.train, data.val, data.test)] == [10, 4, 3]
    np.testing.assert_array_equal(data.test.take(np.arange(3))[1], [1, 1, 1])
    shutil.rmtree(root / "test")
    assert [len(s) for s in (lambda d: (d.train, d.val, d.test))(folder(root, size=8))] == [8, 4, 2]
    # A class may be called train.
    os.rename(root / "train" / "cat", root / "cat")
    shutil.rmtree(root / "valid")
    for file in (root / "train" / "dog").iterdir():
        file.rename(root / "train" / file.name)
    (root / "train" / "dog").rmdir()
    assert folder(root, size=8).class_names == ("cat", "train")


def test_each_file_is_looked_at_once(photos, monkeypatch):
    looked = []
    into = inventory.look_into
    monkeypatch.setattr(inventory, "look_into", lambda c: (looked.append(c), into(c))[1])
    paths = sorted(map(str, photos.glob("*/*.jpg")))
    first = look_at(paths, root=str(photos))
    assert len(looked) == 12 == len({look.digest for look in first})
    assert look_at(paths, root=str(photos)) == first and len(looked) == 24  # too fresh to be kept
    monkeypatch.setattr(inventory, "_SETTLED", -1.0)
    for count in (36, 36):
        assert look_at(paths, root=str(photos)) == first and len(looked) == count
    # Another content of the same length and time of modification.
    state, content = os.stat(paths[0]), Path(paths[0]).read_bytes()
    Path(paths[0]).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    os.utime(paths[0], ns=(state.st_atime_ns, state.st_mtime_ns))
    other = look_at(paths, root=str(photos))
    assert len(looked) == 37 and other[0].digest != first[0].digest and other[1:] == first[1:]
    [kept] = (Path(os.environ["XDG_CACHE_HOME"]) / "cnnlab" / "pictures").iterdir()
    for damage in (b"", b"[]", json.dumps({"version": "1", "looks": {paths[0]: [[], 5]}}).encode()):
        kept.write_bytes(damage)
        assert look_at(paths, root=str(photos)) == other


def test_a_run_is_of_the_pictures_and_not_of_their_place(photos, tmp_path):
    def run(root, *more):
        cfg = compose(["data=folder", f"data.root={root}", "data.size=8", *more])
        data = folder(root, size=8)
        return run_directory(cfg, data=data.fingerprint)

    one = run(photos)
    shutil.copytree(photos, tmp_path / "copy")
    assert run(tmp_path / "copy") == one != run(photos, "data.size=9")
    os.rename(tmp_path / "copy" / "cat", tmp_path / "copy" / "lion")
    assert run(tmp_path / "copy") != one
    save(smooth(20, 30, 999), photos / "cat" / "0.jpg")
    assert run(photos) != one


def test_a_file_that_changes_during_a_run(photos):
    data = folder(photos, size=8, placement="stream")
    path = files(data.train)[0]
    save(smooth(40, 41, 1), Path(path))
    change = loader(data.train, 2, seed=0, perturbations=[RandomResizedCrop()])
    with pytest.raises(DataError, match=r"is not of 2\d x 3\d pixels; it has changed since"):
        for _, _ in zip(range(5), change.handles(), strict=False):
            pass
    Path(path).unlink()
    with pytest.raises(DataError, match=r"\.jpg can't be read: No such file or directory; it has"):
        data.train.take(np.arange(1))


EACH = [RandAugment(), RandomResizedCrop(), ColorJitter()]


def read(split, start, count, workers=0):
    handles = loader(split, 4, seed=3, workers=workers, perturbations=EACH).handles(start)
    found = [next(handles) for _ in range(count)]
    handles.close()
    return found


def test_what_is_drawn_is_a_function_of_seed_epoch_and_example(photos):
    """In threads and in processes, from any step on; another one in each epoch."""
    held = folder(photos, size=[10, 12], val_fraction=0, test_fraction=0.2)
    streamed = folder(photos, size=[10, 12], val_fraction=0, test_fraction=0.2, placement="stream")
    assert held.train.held is not None and streamed.train.held is None
    whole = read(held.train, 0, 6)
    for other, start in ((read(streamed.train, 3, 3), 3), (read(held.train, 1, 4, workers=1), 1)):
        for one, same in zip(whole[start:], other, strict=False):
            for a, b in zip(one, same, strict=True):
                np.testing.assert_array_equal(a, b)
    by_epoch = [
        {int(place): image for b in epoch for image, place in zip(b.image, b.index, strict=True)}
        for epoch in (whole[:2], whole[2:4])
    ]
    common = by_epoch[0].keys() & by_epoch[1].keys()
    assert common
    for place in common:
        plain = held.train.take(np.array([place]))[0][0]
        seen = [epoch[place].astype(int) for epoch in by_epoch]
        assert seen[0].shape == plain.shape and seen[0].dtype != plain.dtype
        assert min(np.abs(a - b).mean() for a, b in ((seen[0], seen[1]), (seen[0], plain))) > 1


def test_from_photographs_to_predictions(photos, tmp_path):
    overrides = [
        *(
            "data=folder",
            f"data.root={photos}",
            "data.size=8",
            "backbone=mlp",
            "backbone.widths=[4]",
            "norm=none",
        ),
        *("augment=[flip,random_resized_crop,color_jitter,randaugment]", "batch_size=4"),
        *("optimizer=sgd", "steps=2", "progress=false", f"output={tmp_path / 'outputs'}"),
    ]
    experiment = build(compose(overrides))
    result = experiment.run()
    assert result["test_examples"] == 2 and result["steps"] == 2
    again = build(compose(overrides))
    assert again.directory.path == experiment.directory.path and again.directory.complete()
    with pytest.raises(
        ValueError, match=r"^data.placement: expected auto or stream, where augment.random_re"
    ):
        build(compose([*overrides, "data.placement=device"]))
    with pytest.raises(ValueError, match=r"^data.root: no such folder: '/nowhere'"):
        build(compose([*overrides, "data.root=/nowhere"]))
    with pytest.raises(ValueError, match=r"^augment.color_jitter: expected pictures .* at 65535"):
        build(
            compose([*overrides, "data.depth=16", "data.placement=auto", "augment=[color_jitter]"])
        )
