"""Pictures and arrays that are damaged, too large or none: refused in one line."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.decode import FORMATS, MAX_PIXELS
from cnnlab.data.picture import Form, read_picture
from cnnlab.errors import CnnlabError

GREY = Form((8, 8, 1), light_borders=0.0)
COLOUR = Form((8, 8, 3))


def announced(width, height):
    """A PNG whose header announces a size, with nothing behind it."""

    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize("side", [7100, 10_000, 40_000])
def test_too_many_pixels_are_refused_before_decoding(side, tmp_path):
    assert side**2 > MAX_PIXELS
    (tmp_path / "bomb.png").write_bytes(announced(side, side))
    with pytest.raises(CnnlabError, match="pixels") as caught:
        read_picture(tmp_path / "bomb.png", GREY)
    assert "damaged" not in str(caught.value)


def mutations(content, draw):
    yield content[: len(content) // 2]
    yield content[: len(content) // 2] + bytes(len(content) // 2)
    for _ in range(6):
        changed = bytearray(content)
        for _ in range(draw.randrange(1, 9)):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        yield bytes(changed)


def test_damaged_files_are_refused_in_one_line(tmp_path, capfd):
    """Every format that is read, and those that are not; nothing but the line is printed."""
    draw = random.Random(0)
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 256, (16, 16, 3), np.uint8))
    formats = {*FORMATS, "MPO", "DDS", "SGI", "ICO", "ICNS", "TGA", "EPS"} & set(Image.SAVE)
    assert len(formats) > 12
    refused = 0
    for name in sorted(formats):
        out = io.BytesIO()
        options = {"compression": "tiff_lzw"} if name == "TIFF" else {}
        picture.save(out, name, **options)
        for content in (out.getvalue(), *mutations(out.getvalue(), draw)):
            (tmp_path / "file").write_bytes(content)
            try:
                assert read_picture(tmp_path / "file", COLOUR).shape == COLOUR.shape
            except CnnlabError as error:
                assert str(error).startswith("image: ") and "\n" not in str(error)
                refused += 1
    assert refused > 50
    assert capfd.readouterr() == ("", "")


def test_what_is_no_picture(tmp_path):
    for path, says in (
        (tmp_path / "nothing.png", "no such file"),
        (tmp_path, "can't be read: Is a directory"),
        (tmp_path / "nothing.npy", "no such file"),
    ):
        with pytest.raises(CnnlabError, match=says):
            read_picture(path, GREY)
    with pytest.raises(ValueError, match=r"data set of images .* can be given as .npy files"):
        read_picture(tmp_path, Form((40, 1)))
    with pytest.raises(ValueError, match="whose value of white is not known"):
        read_picture(tmp_path, Form((8, 8, 1), high=None))


def test_arrays_are_numbers_and_nothing_else(tmp_path):
    path = tmp_path / "array.npy"
    sequence = Form((4, 1), high=None)
    np.save(path, np.arange(4.0)[:, None])
    assert read_picture(path, sequence).dtype == np.float32
    for array, says in (
        (np.array([[np.nan]] * 4), "not finite"),
        (np.array([[1e300]] * 4), "not finite"),
        (np.array([[1j]] * 4), "complex128"),
        (np.array([["a"]] * 4), "<U1"),
        (np.zeros((4, 2)), r"expected numbers of shape \[4, 1\]"),
    ):
        np.save(path, array)
        with pytest.raises(CnnlabError, match=says):
            read_picture(path, sequence)
    np.save(path, np.array([[print]], object), allow_pickle=True)
    content = path.read_bytes()
    np.save(path, np.zeros((4, 1)))
    damaged = path.read_bytes()
    for wrong in (content, damaged[:-1], damaged[:40], b"", damaged.replace(b"(4, 1)", b"(9**9)")):
        path.write_bytes(wrong)
        with pytest.raises(CnnlabError, match="is not an array that can be read"):
            read_picture(path, sequence)
