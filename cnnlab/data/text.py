"""Text that every installation of Python carries: the source of its standard library."""

import hashlib
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.splits import ArraySplit, DataError, Placement

# What some distributions of Python leave out, or keep in packages of their own.
_APART = frozenset(
    ("distutils", "ensurepip", "idlelib", "lib2to3", "test", "tkinter", "turtle", "turtledemo",
     "venv")
)  # fmt: skip


@checked
def stdlib_bytes(
    *,
    length: int = 4096,
    val_fraction: float | int = 0.05,
    test_fraction: float | int = 0.05,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """The bytes of the standard library's `.py` files; the label of each is the next one.

    Files are divided among the splits by the digest of their name, so that `val_fraction` and
    `test_fraction` of the bytes, about, are in files that are not trained on. Within a split they
    stand one after the other, each followed by a zero byte, and are cut into examples of `length`
    bytes. The same for one release of Python wherever it is installed unpatched; the data set's
    fingerprint tells.

    **Raises:** `ValueError` that begins with the argument's name: fractions that leave a split
    without an example, a length below 2. `DataError`: this Python has no source of its library.
    """
    if length < 2:
        raise ValueError(f"length: expected 2 bytes or more, got {length}")
    for name, share in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 < share < 0.5:
            raise ValueError(f"{name}: expected a number above 0 and below 0.5, got {share}")
    splits = []
    for part in parts((test_fraction, val_fraction)):
        count = (len(part) - 1) // length
        if count < 1:
            raise ValueError(f"length: expected fewer than the {len(part):,} bytes of a split")
        tokens, label = (
            part[shift : shift + count * length].reshape(count, length) for shift in (0, 1)
        )
        splits.append(ArraySplit(tokens, label, placement=placement, workers=workers))
    test, val, train = splits
    return Dataset.from_splits(
        "stdlib_bytes",
        train,
        test,
        val=val,
        class_names=[_name(byte) for byte in range(256)],
        origin=f"the standard library of Python {sys.version.split()[0]}",
        fingerprint=fingerprint(train, val, test, whole=True),
        task="tokens",
        vocabulary=256,
    )


def parts(shares: Sequence[float]) -> list[UInt8[np.ndarray, " n"]]:
    """The library's bytes in parts, of each of which some `shares` of all, and the rest.

    **Raises:** `DataError`: there is no source.
    """
    root = Path(sysconfig.get_path("stdlib"))
    tops = (root / name for name in sys.stdlib_module_names - _APART)
    files = [file for top in tops for file in (top.with_suffix(".py"), *top.rglob("*.py"))]
    files = [file for file in files if file.is_file() and "test" not in file.parts]
    if not files:
        raise DataError(f"stdlib_bytes: this Python keeps no .py files in {root}")
    named = {file.relative_to(root).as_posix(): file for file in files}
    digest = lambda name: hashlib.blake2b(name.encode()).digest()
    content = [named[name].read_bytes() + b"\0" for name in sorted(named, key=digest)]
    ends = np.cumsum([len(one) for one in content])
    # Each file belongs where its middle lies.
    middles = ends - np.array([len(one) for one in content]) / 2
    bounds = np.searchsorted(middles, np.cumsum(shares) * ends[-1])
    found, start = [], 0
    for stop in (*bounds, len(content)):
        found.append(np.frombuffer(b"".join(content[start:stop]), np.uint8))
        start = stop
    return found


def _name(byte: int) -> str:
    return ascii(chr(byte))[1:-1] if byte < 128 else f"\\x{byte:02x}"
