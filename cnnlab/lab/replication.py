"""A question measured once more with other seeds: which verdicts stay, which flip."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnlab.lab.verdict import INCONCLUSIVE

_Answer = Mapping[str, Any]


def replicated(result: _Answer, again: _Answer | None) -> dict[str, Any]:
    """An answer whose claims have, `again`, verdict and evidence of a second one, if any."""
    found = {claim["name"]: claim for claim in again["claims"]} if again else {}
    second = lambda name: {key: found[name][key] for key in ("verdict", "evidence")}
    claims = [
        claim | ({"again": second(claim["name"])} if claim["name"] in found else {})
        for claim in result["claims"]
    ]
    return {**result, "claims": claims}


@dataclass
class Replication:
    """Of how many claims the verdict was the same twice; and in a line each, those that held once
    and failed once (`flipped`), and those that one of two measurements does not settle (`once`)."""

    same: int = 0
    flipped: list[str] = field(default_factory=list)
    once: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, results: Iterable[_Answer]) -> "Replication":
        """Of all claims that were measured twice."""
        found = cls()
        for result in results:
            for claim in result["claims"]:
                if "again" in claim:
                    found._count(result["question"], claim)
        return found

    def _count(self, question: str, claim: Mapping[str, Any]) -> None:
        both = claim["verdict"], claim["again"]["verdict"]
        if both[0] == both[1]:
            self.same += 1
            return
        line = f"{question}, {claim['source']}: {both[0]}, then {both[1]}: {claim['statement']}"
        (self.once if INCONCLUSIVE in both else self.flipped).append(line)

    def __len__(self) -> int:
        return self.same + len(self.flipped) + len(self.once)

    @property
    def summary(self) -> str:
        """In a sentence."""
        return (
            f"Measured once more with other seeds: of {len(self)} verdicts {self.same} are the "
            f"same, {len(self.flipped)} flipped, and {len(self.once)} are settled by one of the "
            "two measurements only."
        )

    def lists(self) -> Sequence[tuple[str, list[str]]]:
        """What is not the same, by what it is."""
        named = [("flipped", self.flipped), ("settled once", self.once)]
        return [(name, lines) for name, lines in named if lines]
