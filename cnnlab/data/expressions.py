"""ListOps: nested operations on lists of digits, `[MAX 2 9 [MIN 4 7 ] 0 ]`, and their results."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.embedded import check_sizes
from cnnlab.data.splits import ArraySplit, Placement

TOKENS = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]", "blank")
_OPERATION, _END, _BLANK = 10, 14, 15  # the first of the four operations
_SHARE = 0.25  # of the arguments that are lists themselves
_TREES = 512  # drawn at once


@checked
def listops(
    *,
    min_length: int = 500,
    max_length: int = 2000,
    depth: int = 10,
    arguments: int = 10,
    train_size: int = 10_000,
    test_size: int = 2000,
    seed: int = 0,
    val_fraction: float | int = 0.1,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """ListOps (Nangia and Bowman 2018, arXiv:1804.06028) with the lengths of the Long Range Arena
    (Tay et al. 2020, arXiv:2011.04006), which trains on 96,000 of them.

    A list has one of four operations, the smallest, largest, median (rounded down) or sum modulo 10
    of its arguments, and 2 to `arguments` of these: each is a list with probability 1/4 above the
    deepest level, `depth`, or else a digit. Those of `min_length` to `max_length` tokens are taken,
    each once, and filled up with blanks (token 15) to `max_length`. The class is the result.

    **Raises:** `ValueError` that begins with the argument's name: lengths that no list has, too few
    lists of them, no examples, or more than fit into memory.
    """
    if not 4 <= min_length <= max_length:
        raise ValueError(
            f"min_length: expected from 4 to max_length = {max_length}, got {min_length}"
        )
    if depth < 2 or arguments < 2:
        name, value = ("depth", depth) if depth < 2 else ("arguments", arguments)
        raise ValueError(f"{name}: expected 2 or more, got {value}")
    sizes = {"train_size": train_size, "test_size": test_size}
    check_sizes(3 * max_length, seed, **sizes)
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed])))
    total, found = sum(sizes.values()), {}
    barren = 0
    while len(found) < total:
        before = len(found)
        tokens, results = _draw(random, min_length, max_length, depth, arguments)
        found |= dict(zip(map(bytes, tokens), results.tolist(), strict=True))
        barren = barren + 1 if len(found) == before else 0
        if barren == 50:
            raise ValueError(
                f"min_length: expected lengths that {total:,} lists have, found {before:,} of"
                f" {min_length} to {max_length} tokens with depth={depth}, arguments={arguments}"
            )
    rows = np.frombuffer(b"".join(found), np.uint8).reshape(-1, max_length)[:total]
    label = np.fromiter(found.values(), np.int32)[:total]
    options = {"placement": placement, "workers": workers}
    return Dataset.from_splits(
        "listops",
        ArraySplit(rows[:train_size], label[:train_size], **options),
        ArraySplit(rows[train_size:], label[train_size:], **options),
        class_names=tuple("0123456789"),
        val_fraction=val_fraction,
        origin=f"generated from seed {seed}",
        vocabulary=len(TOKENS),
    )


class _Level(NamedTuple):
    """The nodes of all trees at one depth, those of one list side by side.

    - `token`: a digit or an operation; `parent`: the place of its list in the level above.
    - `first`: the place of the first argument in the level below, of lists only, in their order.
    """

    token: Int[np.ndarray, " n"]
    parent: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " lists"]

    @property
    def lists(self) -> Int[np.ndarray, " lists"]:
        return np.flatnonzero(self.token >= _OPERATION)


def _draw(
    random: np.random.RandomState, shortest: int, longest: int, depth: int, arguments: int
) -> tuple[Shaped[np.ndarray, "n longest"], Int[np.ndarray, " n"]]:
    """Lists of these lengths as tokens, and their results: all trees at once, level by level."""
    levels = _grow(random, depth, arguments)
    sizes, results = _evaluate(levels)
    kept = np.flatnonzero((sizes[0] >= shortest) & (sizes[0] <= longest))
    row = np.full(_TREES, -1)
    row[kept] = np.arange(len(kept))
    tokens = np.full((len(kept), longest), _BLANK, np.uint8)
    tree, start = np.arange(_TREES), np.zeros(_TREES, int)
    for level, size, below in zip(levels, sizes, [*sizes[1:], np.zeros(0, int)], strict=True):
        its = row[tree]
        here = its >= 0
        tokens[its[here], start[here]] = level.token[here]
        lists = level.lists
        ends = lists[here[lists]]
        tokens[its[ends], (start + size)[ends] - 1] = _END
        # Arguments follow their list's operation, one after the other.
        before = np.cumsum(below) - below
        counts = np.diff(np.append(level.first, len(below)))
        start = np.repeat(start[lists] + 1 - before[level.first], counts) + before
        tree = np.repeat(tree[lists], counts)
    return tokens, results[kept]


def _grow(random: np.random.RandomState, depth: int, arguments: int) -> list[_Level]:
    """Trees whose root is a list (of one that is a digit there is nothing to learn)."""
    levels = []
    parent, is_list = np.arange(_TREES), np.ones(_TREES, bool)
    for at in range(1, depth + 1):
        n = len(parent)
        if at > 1:
            is_list = (random.random_sample(n) < _SHARE) & (at < depth)
        operation = random.randint(_OPERATION, _END, n)
        token = np.where(is_list, operation, random.randint(0, 10, n))
        lists = np.flatnonzero(is_list)
        counts = random.randint(2, arguments + 1, len(lists))
        levels.append(_Level(token, parent, np.cumsum(counts) - counts))
        if not len(lists):
            break
        parent = np.repeat(lists, counts)
    return levels


def _evaluate(levels: list[_Level]) -> tuple[list[np.ndarray], Int[np.ndarray, " n"]]:
    """The number of tokens of each node of each level, and the results of the roots."""
    sizes, below, value = [], np.zeros(0, int), np.zeros(0, int)
    for level, parent in zip(levels[::-1], [None, *(x.parent for x in levels[:0:-1])], strict=True):
        size, result = np.ones(len(level.token), int), level.token.copy()
        lists = level.lists
        if len(lists):
            assert parent is not None  # a list has arguments
            size[lists] = 2 + np.add.reduceat(below, level.first)
            ordered = value[np.lexsort((value, parent))]  # the arguments of each list by size
            count = np.diff(np.append(level.first, len(ordered)))
            low, high = (ordered[level.first + place] for place in ((count - 1) // 2, count // 2))
            each = np.stack([
                ordered[level.first], ordered[level.first + count - 1], (low + high) // 2,
                np.add.reduceat(value, level.first) % 10,
            ])  # fmt: skip
            result[lists] = each[level.token[lists] - _OPERATION, np.arange(len(lists))]
        sizes.append(size)
        below, value = size, result
    return sizes[::-1], value
