"""A few digits that stand for the examples of a data set that lies on a disk."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from cnnlab.data.splits import RESIDENT_BYTES, Split, as_labels, as_raw

_SAMPLE = 1000
_PIECE = 4096


def fingerprint(*splits: Split, whole: bool = False, names: Sequence[str] = ()) -> str:
    """16 hex digits of images, labels and their order; the same wherever the examples are kept.

    `names`: of the classes, where the examples say them.

    All examples count; of a split too large to be held in memory their number and 1,000 of them,
    unless the `whole` is asked for.
    """
    digest = hashlib.blake2b(digest_size=8)
    for split in splits:
        n = len(split)
        places = np.arange(n)
        if split.nbytes >= RESIDENT_BYTES and not whole:
            places = np.linspace(0, n - 1, _SAMPLE).astype(int)
        digest.update(str(n).encode())
        for start in range(0, len(places), _PIECE):
            image, label = split.take(places[start : start + _PIECE])
            image = as_raw(image)
            digest.update(f"{image.dtype}{image.shape}".encode())
            digest.update(np.ascontiguousarray(image).data)
            digest.update(np.ascontiguousarray(as_labels(label)).data)
    if names:
        digest.update(json.dumps(list(names)).encode())
    return digest.hexdigest()
