"""A question in the older form: functions of the whole config and of all data, and a YAML file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnlab import lab
from cnnlab.lab import Cells, Claim, Table, Verdict, answer, directory_of, markdown
from cnnlab.lab import command as entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

__all__ = ["Claim", "Question", "Table", "answer", "directory_of", "entry", "markdown"]


@dataclass(frozen=True)
class Question(lab.Question):
    """What `cnnlab.lab.Question` is asked for, as plain functions."""

    name: str
    title: str
    claims: Sequence[Claim]
    measure: "Callable[[DictConfig, Cells], dict[str, Any]]"
    judge: Callable[[Mapping[str, Any]], Mapping[str, Verdict]]
    tables: Callable[[Mapping[str, Any]], Sequence[Table]]
    draw: "Callable[[Mapping[str, Any]], Mapping[str, Figure]]"
    note: str = ""
    check: "Callable[[DictConfig], None]" = lambda cfg: None

    def check_settings(self, cfg: "DictConfig") -> None:
        self.check(cfg)

    def measured(self, cfg: "DictConfig", cells: Cells) -> dict[str, Any]:
        return self.measure(cfg, cells)
