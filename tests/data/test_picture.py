"""Pictures as examples: what training saw, whatever the file; refused in one line where damaged."""

import io
import logging
import struct

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import ArraySplit, digits, fake, mnist
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import open_picture, to_array
from cnnlab.data.picture import Form, read_picture
from cnnlab.errors import CnnlabError
from cnnlab.train.predict import describe, form_of

GREY = Form((8, 8, 1), light_borders=0.0)
COLOUR = Form((8, 8, 3))


@pytest.fixture
def said(caplog, monkeypatch):
    """What cnnlab logs."""
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    caplog.set_level(logging.INFO, logger="cnnlab")
    return caplog


def image_of(array):
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def bordered(border, inside, channels, count=40):
    """A data set of frames: `border` around `inside`."""
    image = np.full((count, 8, 8, channels), border, np.uint8)
    image[:, 2:6, 2:6] = inside + np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    split = ArraySplit(image, np.arange(count) % 2)
    return Dataset.from_splits(
        "frames", split, split, class_names="ab", val_fraction=0, origin="made"
    )


def own_sets(tmp_path, write_idx):
    yield digits()
    yield digits(size=12)
    yield fake(shape=[9, 8, 1])
    yield fake(shape=[9, 8, 3], size=[10, 12])
    yield fake(shape=[9, 8, 4])
    yield bordered(255, 20, 1)
    yield bordered(255, 20, 3)
    yield bordered(0, 200, 1)
    write_idx(tmp_path / "files")
    yield mnist(source=str(tmp_path / "files"))


@pytest.mark.usefixtures("small")
def test_a_data_sets_own_pictures_are_what_training_saw(tmp_path, write_idx):
    """PNG of the stored values, of values stretched to white at 255, and the arrays themselves."""
    plain = {"digits": digits().test.image}
    for data in own_sets(tmp_path, write_idx):
        form = form_of(describe(data))
        assert form.shape == data.input_shape
        original = data.test.image
        if data.fit == "stretch":
            original = plain.get(data.name, fake(shape=[9, 8, 3]).test.image)
        for stored, seen in zip(original[:5], data.test.image, strict=False):
            image_of(stored).save(tmp_path / "stored.png")
            np.testing.assert_array_equal(read_picture(tmp_path / "stored.png", form), seen)
            stretched = np.rint(stored * (255 / data.high)).astype(np.uint8)
            image_of(stretched).save(tmp_path / "stretched.png")
            np.testing.assert_array_equal(read_picture(tmp_path / "stretched.png", form), seen)
            np.save(tmp_path / "seen.npy", seen)
            array = read_picture(tmp_path / "seen.npy", form)
            np.testing.assert_array_equal(array, seen)
            assert array.dtype == seen.dtype


def test_inversion_is_decided_by_the_training_images_borders(tmp_path, said):
    drawing = np.full((40, 30), 255, np.uint8)
    drawing[15:25, 10:20] = 0
    path = tmp_path / "drawing.png"
    Image.fromarray(drawing).save(path)
    dark, light = (form_of(describe(bordered(*c, 1))) for c in ((0, 200), (255, 20)))
    assert (dark.light_borders, light.light_borders) == (0.0, 1.0)
    kept, swapped = read_picture(path, light), read_picture(path, dark)
    assert kept[0, 0] == 255 and kept[4, 4] == 0
    np.testing.assert_array_equal(swapped, 255 - kept)
    assert [r.message.startswith("image: the picture's border is light") for r in said.records]
    np.testing.assert_array_equal(read_picture(path, dark, invert=False), kept)
    np.testing.assert_array_equal(read_picture(path, light, invert=True), swapped)
    # Never colours; nor where the training images have both kinds of border, or say nothing.
    for form in (
        Form((8, 8, 3), light_borders=0.0),
        Form((8, 8, 1), light_borders=0.3),
        Form((8, 8, 1)),
    ):
        assert read_picture(path, form)[0, 0, 0] == 255
    # A picture of the data set's size may be its own: it is kept, and a line says what to do.
    said.clear()
    image_of(kept).save(path)
    np.testing.assert_array_equal(read_picture(path, dark), kept)
    assert "invert=true would swap" in said.text
    for wrong in ("yes", "true"):
        with pytest.raises(ValueError, match=r"^invert: expected true, false or auto"):
            read_picture(path, dark, invert=wrong)


def pgm(values, maxval):
    head = f"P5 {values.shape[1]} {values.shape[0]} {maxval}\n".encode()
    return head + values.astype(">u2").tobytes()


def encoded(values, fmt, mode=None, **options):
    out = io.BytesIO()
    (Image.fromarray(values) if mode is None else Image.fromarray(values, mode)).save(
        out, fmt, **options
    )
    return out.getvalue()


def tiff(values, *, bits=16, kind=1, white_is_zero=False, largest=None):
    """A TIFF of one strip, written by hand: Pillow does not write all that there is."""
    entries = [
        (256, 4, values.shape[1]),
        (257, 4, values.shape[0]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 0 if white_is_zero else 1),
        (273, 4, 8),
        (277, 3, 1),
        (279, 4, values.nbytes),
        *([(281, 3, largest)] if largest else []),
        (339, 3, kind),
    ]
    head = struct.pack("<2sHI", b"II", 42, 8 + values.nbytes)
    table = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in entries)
    return head + values.tobytes() + struct.pack("<H", len(entries)) + table + bytes(4)


WIDE = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4  # 0..252, in steps of 4
DEEP = {
    "png": encoded(WIDE * 257, "PNG"),
    "tiff": encoded(WIDE * 257, "TIFF"),
    "tiff, compressed": encoded(WIDE * 257, "TIFF", compression="tiff_lzw"),
    "tiff, white is 0": tiff(65535 - WIDE * 257, white_is_zero=True),
    "tiff, 12 of 16 bits": tiff((WIDE * (4095 / 255)).round().astype("<u2"), largest=4095),
    "pgm": pgm(WIDE * 257, 65535),
    "pgm, 12 of 16 bits": pgm((WIDE * (4095 / 255)).round(), 4095),
    "jpeg 2000": encoded(WIDE * 257, "JPEG2000", irreversible=False),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grey_pictures_are_scaled_by_what_their_files_say(name, tmp_path):
    (tmp_path / "deep").write_bytes(DEEP[name])
    for form in (GREY, COLOUR):
        got = read_picture(tmp_path / "deep", form)
        np.testing.assert_array_equal(got, np.repeat(WIDE[..., None], form.shape[-1], -1))
    twice = Form((8, 8, 1), high=65535)
    np.testing.assert_allclose(
        read_picture(tmp_path / "deep", twice)[..., 0], WIDE * 257.0, atol=8.1
    )


@pytest.mark.parametrize(
    ("content", "white"),
    [
        (encoded(WIDE.astype(np.float32) / 255, "TIFF"), 1.0),
        (encoded(WIDE.astype(np.int32) * 1000, "TIFF"), 255_000),
        (tiff(WIDE.astype("<i2"), kind=2), 255),
        (tiff(WIDE.astype("<u4"), bits=32), 255),
    ],
    ids=["float", "int32", "int16", "uint32"],
)
def test_an_unknown_white_is_refused_unless_given(content, white, tmp_path):
    (tmp_path / "deep").write_bytes(content)
    with pytest.raises(CnnlabError, match="does not say which of its values is white; white="):
        read_picture(tmp_path / "deep", GREY)
    got = read_picture(tmp_path / "deep", GREY, white=white)
    np.testing.assert_array_equal(got[..., 0], WIDE)
    with pytest.raises(ValueError, match=r"^white: expected a number above 0, got 0"):
        read_picture(tmp_path / "deep", GREY, white=0)


def test_a_deep_picture_that_looks_too_dark_is_said(tmp_path, said):
    (tmp_path / "dark").write_bytes(encoded(WIDE * 16, "PNG"))
    assert read_picture(tmp_path / "dark", GREY).max() == 16
    assert "is above 1/8 of 65535" in said.text
    np.testing.assert_array_equal(read_picture(tmp_path / "dark", GREY, white=4080)[..., 0], WIDE)


def test_colours_transparency_palettes_and_orientation():
    rgb = np.random.RandomState(0).randint(0, 256, (4, 6, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgb).quantize(24).save(out, "PNG")  # as many colours as pixels
    opaque = np.dstack([rgb, np.full((4, 6), 255, np.uint8)])
    inks = encoded(np.dstack([255 - rgb, np.zeros((4, 6), np.uint8)]), "TIFF", "CMYK")
    for content in (out.getvalue(), encoded(opaque, "PNG"), encoded(rgb, "BMP"), inks):
        np.testing.assert_array_equal(to_array(open_picture(content), 3), rgb)
    clear = np.dstack([rgb, np.zeros((4, 6), np.uint8)])
    picture = open_picture(encoded(clear, "PNG"))
    assert (to_array(picture, 3) == 255).all() and (to_array(picture, 1) == 255).all()
    np.testing.assert_array_equal(to_array(picture, 4), clear)
    grey = encoded(rgb[..., 0], "PNG", transparency=int(rgb[0, 0, 0]))
    want = np.where(rgb[..., 0] == rgb[0, 0, 0], 255, rgb[..., 0])
    np.testing.assert_array_equal(to_array(open_picture(grey), 1)[..., 0], want)
    deep = encoded(rgb[..., 0].astype(np.uint16) * 257, "PNG", transparency=int(rgb[0, 0, 0]) * 257)
    np.testing.assert_array_equal(to_array(open_picture(deep), 1)[..., 0], want)
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    turned = to_array(open_picture(encoded(rgb, "PNG", exif=exif)), 3)
    np.testing.assert_array_equal(turned, np.rot90(rgb, -1))


def test_the_first_of_several_pictures(tmp_path, said):
    frames = [Image.new("L", (8, 8), value) for value in (10, 90)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert (read_picture(tmp_path / "moving.gif", GREY) == 10).all()
    assert "the first of several pictures" in said.text


def test_sizes(tmp_path):
    path = tmp_path / "wide.png"
    wide = np.repeat(np.arange(60, dtype=np.uint8).reshape(20, 3), 20, axis=1)[..., None]
    image_of(wide).save(path)
    np.testing.assert_array_equal(read_picture(path, GREY, size="own"), wide)
    assert read_picture(path, GREY, size=[4, 6]).shape == (4, 6, 1)
    assert read_picture(path, COLOUR, size=5).shape == (5, 5, 3)
    # Kept whole, centred, filled up with the colour of its border.
    padded = read_picture(path, Form((6, 6, 1)))
    assert padded.shape == (6, 6, 1) and len(np.unique(padded[[0, 1, 4, 5]])) == 1
    stretched = read_picture(path, Form((6, 6, 1), fit="stretch"))
    assert len(np.unique(stretched)) > 12
    for size in (0, [3], "big", True, [10**5, 10**5]):
        with pytest.raises(ValueError, match=r"^size: "):
            read_picture(path, GREY, size=size)
    np.save(tmp_path / "wide.npy", np.zeros((20, 60, 1), np.int64))
    assert read_picture(tmp_path / "wide.npy", GREY, size="own").dtype == np.float32
    with pytest.raises(CnnlabError, match=r"int64 of shape \[20, 60, 1\]: expected numbers of"):
        read_picture(tmp_path / "wide.npy", GREY)
    Image.new("L", (3000, 3000)).save(path)
    with pytest.raises(ValueError, match=r"^size: a picture of 3000 x 3000 is too large"):
        read_picture(path, GREY, size="own")
