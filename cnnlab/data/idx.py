"""The IDX file format of the MNIST family: big-endian header, then raw bytes, gzipped or not.

Header: two zero bytes, a type code (0x08 = unsigned byte), the number of axes, then one
big-endian uint32 per axis.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Names of the image and the label file of each split, without the optional `.gz`."""


def find_idx(folder: Path | str, stem: str) -> Path:
    """The file `stem` or `stem.gz` of a folder.

    **Raises:** `ValueError` that names both: neither is there.
    """
    folder = Path(folder)
    for name in (f"{stem}.gz", stem):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder}: expected the file {stem}.gz or {stem}, found neither")


def has_idx_files(folder: Path | str) -> bool:
    """Whether a folder holds all four files of a data set of the MNIST family."""
    folder = Path(folder)
    return all(
        (folder / stem).is_file() or (folder / f"{stem}.gz").is_file()
        for stems in FILES.values()
        for stem in stems
    )


def read_idx(path: Path | str, ndim: int) -> np.ndarray:
    """Read a file of unsigned bytes with `ndim` axes (3 for images, 1 for labels).

    **Raises:** `ValueError` that begins with the file's path: a damaged gzip stream, another magic
    number, fewer or more bytes than the header announces.
    """
    path = Path(path)
    content = _read_bytes(path)
    header_size = 4 + 4 * ndim
    if len(content) < header_size:
        raise ValueError(
            f"{path}: expected an IDX header of {header_size} bytes, got {len(content)} bytes"
        )
    zeros, kind, axes = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != _UNSIGNED_BYTE or axes != ndim:
        magic = (_UNSIGNED_BYTE << 8) | ndim
        raise ValueError(
            f"{path}: expected the IDX magic number 0x{magic:08x} (unsigned bytes, {ndim} axes),"
            f" got 0x{content[:4].hex()}"
        )
    shape = struct.unpack(f">{ndim}I", content[4:header_size])
    announced, found = math.prod(shape), len(content) - header_size
    if announced != found:
        raise ValueError(
            f"{path}: the header announces {' x '.join(map(str, shape))} = {announced} bytes,"
            f" the file holds {found}"
        )
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape)


def read_split(
    folder: Path | str, split: str, *, num_classes: int, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images `(n, h, w, 1)` and labels `(n,)`, both uint8, of the split `"train"` or `"test"`.

    **Raises:** `ValueError` that names the file: images and labels differ in number, there are not
    `count` of them, or a label is not below `num_classes`.
    """
    image_path, label_path = (find_idx(folder, stem) for stem in FILES[split])
    images, labels = read_idx(image_path, 3), read_idx(label_path, 1)
    if count is not None and len(images) != count:
        raise ValueError(f"{image_path}: expected {count} images, got {len(images)}")
    if len(labels) != len(images):
        raise ValueError(
            f"{label_path}: expected {len(images)} labels, as many as images, got {len(labels)}"
        )
    if labels.size and labels.max() >= num_classes:
        raise ValueError(
            f"{label_path}: expected labels from 0 to {num_classes - 1}, got {labels.max()}"
        )
    return images[..., None], labels


def _read_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from error
