"""What a run gives back."""

from collections.abc import Mapping
from typing import Any

from cnnlab.display import View, shown
from cnnlab.errors import CnnlabError
from cnnlab.files import JsonObject
from cnnlab.machine import peak_memory
from cnnlab.train.parallel import Runtime
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.scores import shown as scores_shown
from cnnlab.versions import versions

# What a result is shown by, beside its scores: without these it is damaged.
_SHOWN = (
    *("test_loss", "test_examples", "parameters", "steps", "train_seconds", "peak_memory_mb"),
)
_BEST = "best_validation_"


@shown
class Result(dict[str, Any]):
    """What `result.json` holds, and the run's `directory`."""

    def __init__(self, numbers: Mapping[str, Any], directory: RunDirectory) -> None:
        super().__init__(numbers)
        self.directory = RunDirectory(directory.path.absolute())  # wherever the process goes

    @classmethod
    def read(cls, directory: RunDirectory, judge: str) -> "Result":
        """Of a run that is complete.

        **Arguments:** `judge`, the metric that tells which network is the best.

        **Raises:** `CnnlabError` when it is not what was written.
        """
        scores = (f"test_{judge}", f"test_{judge}_single_view")
        return cls(directory.read_result((*scores, *_SHOWN)), directory)

    @property
    def judge(self) -> str:
        """The metric that tells which network is the best."""
        names = [name.removeprefix(_BEST) for name in self if name.startswith(_BEST)]
        if len(names) != 1:
            raise CnnlabError(f"{self.directory.result}: it does not say the metric of its choice")
        return names[0]

    @property
    def objective(self) -> float | None:
        """What a sweep searches by: the best score in validation; None where there was none."""
        return self[_BEST + self.judge]

    def view(self) -> View:
        scores = {n.removeprefix("test_"): x for n, x in self.items() if self._is_score(n)}
        facts = {
            "test": scores_shown(scores),
            "test examples": f"{self['test_examples']:,}",
            "parameters": f"{self['parameters']:,}",
            "steps": f"{self['steps']:,} in {self['train_seconds']:.1f} s",
            "directory": self.directory.path,
        }
        title = f"{self['name']}: {self['data']}, seed {self['seed']}"
        return View.of(title, facts, picture=self.directory.curves)

    @staticmethod
    def _is_score(name: str) -> bool:
        others = ("test_examples", "test_seconds")
        return name.startswith("test_") and name not in others and "single_view" not in name


def circumstances(runtime: Runtime) -> JsonObject:
    """What a result depends on beside its config: the devices, the versions of the libraries; and
    what it took."""
    return {
        "peak_memory_mb": round(peak_memory() / 2**20),
        "device": f"{len(runtime.devices)} x {runtime.devices[0].device_kind}",
        "versions": versions(),
    }
