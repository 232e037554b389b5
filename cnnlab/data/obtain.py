"""Published data sets: from the first source that works, prepared once and whole by a builder."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab.data.fetch import Unavailable, Way
from cnnlab.data.prepared import prepared_folder, quiet_tfds, readable
from cnnlab.data.splits import DataError
from cnnlab.files import appearing, locked

if TYPE_CHECKING:  # they take their time to load
    from tensorflow_datasets.core import DatasetBuilder

    from cnnlab.data.builders.published import PublishedBuilder

_log = logging.getLogger(__name__)


def tfds_dir(data_dir: str | Path | None) -> Path:
    """The folder of prepared TFDS data sets: as given, else where TFDS itself keeps them."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def obtain(
    builder: "type[PublishedBuilder]",
    target: Path,
    ways: Sequence[Way],
    advice: str,
    *,
    stock: bool = True,
) -> Path:
    """The folder of a data set that this project's builder prepares in `target`.

    Prepared from the first way that works where it is not there yet; or else, with `stock`, the
    one beside it that TFDS's own builder of this name has prepared.

    **Raises:** `DataError` that lists the ways and the `advice` where none works, or says what is
    wrong with the files, the folder or the disk.
    """
    found = target if target.is_dir() else None
    if found is None and stock:
        found = prepared_folder(target.parents[1], builder.name)
    if found is not None and (found == target or readable(found)):
        _log.info("%s: already prepared in %s", builder.name, found)
        return found
    try:
        with locked(target.parent / ".lock"):
            if not target.is_dir():  # another process may have been faster
                _prepare(builder, target, ways, advice)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{builder.name}: {error}") from error
    except (OSError, RuntimeError) as error:  # a writer of records raises the latter
        reason = " ".join(str(error).split())
        raise DataError(f"{builder.name}: cannot prepare it in {target}: {reason}") from error
    return target


def _prepare(
    builder: "type[PublishedBuilder]", target: Path, ways: Sequence[Way], advice: str
) -> None:
    failures = []
    for name, find in ways:
        try:
            source = find()
            _log.info("%s: preparing from %s", builder.name, name)
            return build(builder, target, source)
        except Unavailable as reason:
            failures.append(f"{name}: {reason}")
    raise DataError(
        f"{builder.name}: no way to get the data worked ({'; '.join(failures)})."
        f" To get it: {advice}"
    )


def build(builder: "type[PublishedBuilder]", target: Path, source: Path | None) -> None:
    """Prepare a data set from `source` (None: downloaded by TFDS) in the folder `target`."""
    given = None if source is None else str(source)
    run_builder(lambda **where: builder(source=given, **where), target)


def run_builder(make: "Callable[..., DatasetBuilder]", target: Path) -> None:
    """Run a TFDS builder in a temporary folder beside `target`, then rename its result to `target`.

    **Arguments:** `make(data_dir=, file_format=)` makes the builder.

    **Raises:** whatever the builder does; nothing is left then.
    """
    with appearing(target) as part:
        work = part / "work"
        made = make(data_dir=work, file_format="array_record")
        with quiet_tfds():
            made.download_and_prepare(download_dir=work / "downloads")
        for file in Path(made.data_dir).iterdir():
            os.replace(file, part / file.name)
        shutil.rmtree(work)
