"""CIFAR's binary files: records of label bytes and 3,072 pixel bytes, in a folder or an archive.

A record's pixels are three planes (red, green, blue) of 32 rows of 32.
"""

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

SHAPE = (32, 32, 3)


def read_files(
    source: Path, folder: str, names: Sequence[str], *, classes: Sequence[int], count: int
) -> tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, "n k"]]:
    """Images and labels of some of a data set's files, in the order of `names`.

    **Arguments:**

    - `source`: a tar archive, compressed or not, a folder with the files, or one in which they are
        in `folder`, as the published archive unpacks.
    - `classes`: how many classes each of a record's label bytes tells apart.
    - `count`: examples in each file.

    **Raises:** `ValueError` that names the source: a damaged archive, a file that it lacks or has
    twice, another size than `count` records take, a label that is no class.
    """
    record = len(classes) + int(np.prod(SHAPE))
    read = _from_folder if source.is_dir() else _from_archive
    contents = read(source, folder, names, count * record)
    rows = np.frombuffer(b"".join(contents[name] for name in names), np.uint8)
    rows = rows.reshape(-1, record)
    labels, pixels = np.split(rows, [len(classes)], axis=1)
    for column, number in enumerate(classes):
        if labels[:, column].max(initial=0) >= number:
            raise ValueError(
                f"{source}: expected labels from 0 to {number - 1} in byte {column} of each record"
                f" of {', '.join(names)}, got {labels[:, column].max()}"
            )
    height, width, channels = SHAPE
    return pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1), labels


def is_source(source: Path, folder: str, name: str) -> bool:
    """Whether a path may be read: an archive, or a folder that holds the file `name`."""
    return source.is_file() or (source / name).is_file() or (source / folder / name).is_file()


def _from_folder(source: Path, folder: str, names: Sequence[str], size: int) -> dict[str, bytes]:
    contents = {}
    for name in names:
        path = source / name if (source / name).is_file() else source / folder / name
        if not path.is_file():
            raise ValueError(f"{source}: expected the file {name}, which is not there")
        _check_size(path, path.stat().st_size, size)
        contents[name] = path.read_bytes()
    return contents


def _from_archive(source: Path, folder: str, names: Sequence[str], size: int) -> dict[str, bytes]:
    """Members are read by their names; nothing is unpacked, wherever their paths may lead."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(source, "r:*") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.name not in names or path.parent.name not in (folder, ""):
                    continue
                where = f"{source}: {path.name}"
                if path.name in contents or not member.isfile():
                    raise ValueError(f"{where}: expected one file of this name")
                _check_size(where, member.size, size)
                content = archive.extractfile(member)
                assert content is not None  # of a file
                contents[path.name] = content.read()
                _check_size(where, len(contents[path.name]), size)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{source}: damaged archive ({error})") from error
    missing = [name for name in names if name not in contents]
    if missing:
        raise ValueError(f"{source}: expected the files {', '.join(missing)}, which are not there")
    return contents


def _check_size(where: Path | str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"{where}: expected {expected} bytes, got {found}")
