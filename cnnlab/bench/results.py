"""The file that keeps what a benchmark measured: an interrupted one goes on."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from cnnlab.console import progress
from cnnlab.errors import CnnlabError
from cnnlab.files import write_atomically


class Job(NamedTuple):
    """How a case is measured: `conditions`, besides the machine, that its record holds for, as JSON
    has them; `measure`, which makes the record."""

    conditions: Mapping[str, object]
    measure: Callable[[], Mapping[str, object]]


class Results:
    """A JSON file with the machine and a record a case, written after every case."""

    def __init__(self, path: Path, machine: Mapping[str, object], *, force: bool = False) -> None:
        """Read what is there. With `force`, cases are measured again, and what another machine
        measured is dropped.

        **Raises:** `CnnlabError`: it was measured elsewhere or with other versions, and not
        `force`.
        """
        self.path = path
        self.machine = machine
        self.cases: dict[str, dict[str, Any]] = {}
        self._force = force
        if path.is_file():
            known = json.loads(path.read_text())
            if known["machine"] == machine:
                self.cases = known["cases"]
            elif not force:
                raise CnnlabError(
                    f"output: {path} is from another machine or other versions; give another "
                    "output=..., or force=true to drop it"
                )

    def has(self, name: str, conditions: Mapping[str, object]) -> bool:
        """Whether a case need not be measured."""
        known = self.cases.get(name)
        return not self._force and known is not None and known["conditions"] == conditions

    def current(self, code: str) -> dict[str, dict[str, Any]]:
        """The cases that were measured with this code."""
        return {name: c for name, c in self.cases.items() if c["conditions"]["code"] == code}

    def add(self, name: str, record: Mapping[str, object]) -> None:
        """Keep a case, on disk too."""
        self.cases[name] = dict(record)
        text = json.dumps({"machine": self.machine, "cases": self.cases}, indent=1)
        write_atomically(self.path, (text + "\n").encode())

    def fill(self, jobs: Mapping[str, Job], *, show: bool) -> None:
        """Measure what is not there yet; with `show`, say on standard error how far it is."""
        todo = {name: job for name, job in jobs.items() if not self.has(name, job.conditions)}
        if show and len(todo) < len(jobs):
            count = f"{len(jobs) - len(todo)} of {len(jobs)}"
            print(f"{count} cases are there already", file=sys.stderr)
        for name, job in progress(todo, show=show):
            self.add(name, {"conditions": job.conditions, **job.measure()})


def fingerprint(*packages: ModuleType) -> str:
    """A short hash of the source of packages."""
    sums = hashlib.sha256()
    for folder in [Path(str(package.__file__)).parent for package in packages]:
        files = (f for f in folder.rglob("*") if f.suffix in (".py", ".cc", ".h", ".json"))
        for file in sorted(files):
            sums.update(file.read_bytes())
    return sums.hexdigest()[:10]
