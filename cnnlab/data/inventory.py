"""A look at every picture file before any work: what it holds, and whether it can be read.

Each file is read and decoded once; what was found is kept in the user's cache, and a file is looked
at again only where its size, inode or times have changed.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import stat
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.decode import PictureError, is_deep, open_picture, white_of
from cnnlab.files import cache_dir, replace_file

_log = logging.getLogger(__name__)

_SETTLED = 2.0
"""Seconds: a file that changed less long ago may change again without another time to show it."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What a file holds.

    - `digest`: stands for its content.
    - `height`, `width`: upright (EXIF); `channels`: 1 if it is grey, else 3.
    - `has_white`: whether it says which of its values is white; all of 8 bits do.
    - `problem`: why it can't be read, the end of a sentence; empty if it can.
    """

    digest: str = ""
    height: int = 0
    width: int = 0
    channels: int = 0
    has_white: bool = True
    problem: str = ""


def look_at(paths: Sequence[str], *, root: str) -> list[Look]:
    """What each file holds, in their order.

    **Arguments:** `root`, the folder that they are in, for which the cache is kept.
    """
    from PIL import __version__

    known = _Cache(root, f"1 {__version__}")
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # what is wrong with a file is said by `problem`
        looks = list(pool.map(known.look, paths))
    known.keep()
    return looks


class _Cache:
    """Looks by path, with what says that a file is as it was."""

    def __init__(self, root: str, version: str) -> None:
        self._found: dict[str, tuple[list[int], Look]] = {}
        self._version = version
        self._now = time.time()
        self._path: Path | None = None
        self._known: Mapping[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            name = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=8).hexdigest()
            self._path = cache_dir() / "pictures" / f"{name}.json"
            content = json.loads(self._path.read_bytes())
            self._known = content["looks"] if content.get("version") == version else {}

    def look(self, path: str) -> Look:
        try:
            state = os.stat(path)
            # A change of the content, of the name or of the links changes the second time.
            stamp = [state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]
            with contextlib.suppress(TypeError, ValueError, IndexError):
                before, fields = self._known.get(path) or ([], [])
                if before == stamp:
                    return self._keep(path, stamp, state, Look(*fields))
            if not stat.S_ISREG(state.st_mode):
                return Look(problem="is not a file")
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            return Look(problem=f"can't be read: {error.strerror}")
        return self._keep(path, stamp, state, look_into(content))

    def _keep(self, path: str, stamp: list[int], state: os.stat_result, look: Look) -> Look:
        if self._now - max(state.st_mtime, state.st_ctime) > _SETTLED:
            self._found[path] = stamp, look
        return look

    def keep(self) -> None:
        looks = {path: [s, dataclasses.astuple(look)] for path, (s, look) in self._found.items()}
        if self._path is None or json.dumps(looks) == json.dumps(self._known):
            return
        content = json.dumps({"version": self._version, "looks": looks}).encode()
        try:
            replace_file(self._path, lambda file: file.write(content))
        except OSError as error:  # read-only, full, ...: they can be looked at again
            _log.warning("pictures: not kept in %s: %s", self._path, error.strerror or error)


def look_into(content: bytes) -> Look:
    """What the content of a picture file holds."""
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        picture = open_picture(content, near=(1, 1))  # all of it is read, at an eighth
    except PictureError as error:
        return Look(digest, problem=str(error))
    height, width = picture.info["full"]
    deep = is_deep(picture)
    if deep and not np.isfinite(np.asarray(picture)).all():
        return Look(digest, problem="holds values that are not finite")
    channels = 1 if deep or picture.mode in ("1", "L", "LA", "La") else 3
    return Look(digest, height, width, channels, not deep or white_of(picture) is not None)
