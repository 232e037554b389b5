"""What all answers together say of the chapters: what is right, too loose, wrong, not settled."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cnnlab.lab.verdict import FAILS, HOLDS, INCONCLUSIVE

WRONG, LOOSE, OPEN, RIGHT = "wrong", "loose", "open", "right"
KINDS = {
    WRONG: "Wrong, or not so in these measurements",
    LOOSE: "Too loose: right with a condition that the sentence leaves out",
    OPEN: "Not settled by these measurements",
    RIGHT: "Right",
}
TEXTS = ("chapter A", "chapter B", "published papers")
_Claim = Mapping[str, Any]


def summary(claims: Sequence[_Claim]) -> dict[str, Any]:
    """The claims of all questions, each with `kind` and what is right `instead`, in the order of
    the sections in which they stand: a list for each kind, and how many there are of each text.

    What the chapters do not say, but a paper does, is not counted as the chapters'.
    """
    ordered = sorted(claims, key=lambda claim: _place(claim["source"]))
    return {
        "kinds": {kind: [claim for claim in ordered if claim["kind"] == kind] for kind in KINDS},
        "counts": {
            text: {
                kind: sum(
                    claim["kind"] == kind and _text(claim["source"]) == text for claim in ordered
                )
                for kind in KINDS
            }
            for text in TEXTS
        },
    }


def kind_of(claim: _Claim, others: Mapping[str, _Claim]) -> str:
    """What a claim is, the question's other claims by name: too loose is one that fails while the
    claim holds that is given in its stead."""
    if claim["verdict"] == FAILS:
        right = others.get(claim["instead"])
        return LOOSE if right is not None and right["verdict"] == HOLDS else WRONG
    return OPEN if claim["verdict"] == INCONCLUSIVE else RIGHT


def _text(source: str) -> str:
    return {"A ": TEXTS[0], "B ": TEXTS[1]}.get(source[:2], TEXTS[2])


def _place(source: str) -> tuple[int, list[int]]:
    """Of `B 10.2, Problem 10.2.1`: the text, and the numbers of the section."""
    numbers = re.search(r"\d+(\.\d+)*", source)
    section = [int(number) for number in numbers[0].split(".")] if numbers else []
    return TEXTS.index(_text(source)), section
