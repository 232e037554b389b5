"""Where an experiment's run is: its directory is named by all that makes its result."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from cnnlab.content import Unknowable, digest
from cnnlab.errors import ConfigError
from cnnlab.train.rundir import RunDirectory


class Place:
    """The directory of the run that some parts make, and of each that other parts would.

    **Arguments:** `path`, the directory; `parts`, what it is the run of, by their names: others in
    their place make another result.
    """

    def __init__(self, path: Path, parts: Mapping[str, object]) -> None:
        self._path, self.parts = path, dict(parts)
        self._folder = Path.cwd()
        self._others: dict[tuple[int, ...], tuple[object, str]] = {}

    @property
    def path(self) -> Path:
        """As it was given, and absolute where the process has gone to another folder since."""
        return self._path if Path.cwd() == self._folder else self._folder / self._path

    def forget(self) -> None:
        """Read the content of other parts again: what their code reads may have changed."""
        self._others.clear()

    def of(self, parts: Mapping[str, object]) -> RunDirectory:
        """The directory of the run of these parts; what differs is told by its content.

        **Raises:** `ConfigError` where that can't be read.
        """
        own = self.parts
        changed = {n: p for n, p in parts.items() if n in own and not _same(p, own[n])}
        if not changed:
            return RunDirectory(self.path)
        if "data" in changed and "train_loader" not in changed:
            raise ConfigError(
                "data: this experiment's batches are of the data set that it was built for; "
                "cnnlab.build(cfg, data=...) makes one for another"
            )
        ids = tuple(map(id, changed.values()))
        if ids not in self._others:
            made_of = hashlib.sha256(f"{self.path.name} {contents(changed)}".encode())
            seed = self.path.name.rpartition("-")[2]
            name = f"{made_of.hexdigest()[:10]}-{seed}"
            self._others[ids] = list(changed.values()), name
        return RunDirectory(self.path.with_name(self._others[ids][1]))


def contents(parts: Mapping[str, object], name: str | None = None) -> dict[str, str]:
    """What stands for the content of each part, by its name.

    **Arguments:** `name`, what stands for those whose content can't be read.

    **Raises:** `ConfigError`, one line, where there is such a part and no `name`.
    """
    found = {}
    for part, thing in parts.items():
        try:
            if isinstance(thing, Unknowable):
                raise thing
            found[part] = digest(thing)
        except (Unknowable, RecursionError, OSError) as error:
            if name is None:
                raise ConfigError(
                    f"{part}: a result is found again by the content of what made it, which can't"
                    f' be read here ({error}); cnnlab.build(..., name="...") names it instead, a'
                    " new name for each change"
                ) from error
            found[part] = f"named {name}"
    return found


def check_unchanged(given: Mapping[str, tuple[object, str]]) -> None:
    """Refuse a part whose content is not what it was: a value that its code reads was changed.

    **Arguments:** `given`, each part and what stood for its content, by its name.

    **Raises:** `ConfigError`.
    """
    for name, (part, known) in given.items():
        if contents({name: part}, "unread")[name] not in (known, "named unread"):
            raise ConfigError(
                f"{name}: what it is made of has changed since this experiment was built; "
                "build it again"
            )


def _same(one: object, other: object) -> bool:
    return one is other or (isinstance(one, tuple) and one == other)
