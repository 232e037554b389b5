"""Sequences of tokens that ask for something seen before: recall, induction, copying."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int, Shaped

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.embedded import check_sizes
from cnnlab.data.labels import NO_LABEL
from cnnlab.data.splits import ArraySplit, Placement

_BLANK = 0
_AT_ONCE = 2**24  # numbers drawn at once: the memory that drawing takes beside the examples
Examples = tuple[Shaped[np.ndarray, "n length"], Shaped[np.ndarray, "n length"]]
"""Tokens, and the label of each position."""


@checked
def recall(
    *,
    length: int = 1024,
    vocabulary: int = 32,
    pairs: int = 8,
    layout: Literal["repeated", "once"] = "repeated",
    queries: int = 64,
    train_size: int = 2000,
    test_size: int = 500,
    seed: int = 0,
    val_fraction: float | int = 0.1,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Associative recall: what value had this key?

    A sequence has `pairs` of a key and its value, its own ones. Tokens from 1 to `vocabulary / 2 -
    1` are keys, the second half of the vocabulary are values.

    - `layout="repeated"` (Fu et al. 2022, arXiv:2212.14052; Poli et al. 2023, arXiv:2302.10866):
      pairs follow each other to the end, `k v k v ...`, in random order, each many times. The label
      of a key that was there before is its value.
    - `layout="once"` (Arora et al. 2023, arXiv:2312.04927): each pair once, at the beginning; then
      blanks (token 0), with `queries` of the keys among them, whose labels are their values.

    No other position has a label.

    **Raises:** `ValueError` that begins with the argument's name: an odd vocabulary, more pairs
    than keys or than the length has room for, more queries than positions, no examples, or more
    than fit into memory.
    """
    half = vocabulary // 2
    if vocabulary % 2 or half < 2:
        raise ValueError(f"vocabulary: expected an even number from 4 on, got {vocabulary}")
    if not 1 <= pairs < half:
        raise ValueError(
            f"pairs: expected from 1 to {half - 1}, the keys of a vocabulary of {vocabulary}, got"
            f" {pairs}"
        )
    if length < 4 * pairs:
        raise ValueError(f"length: expected 4 times {pairs} pairs or more, got {length}")
    if layout == "once" and not 1 <= queries <= length - 2 * pairs:
        raise ValueError(
            f"queries: expected from 1 to the {length - 2 * pairs} positions of {length} that"
            f" {pairs} pairs leave, got {queries}"
        )

    def draw(n: int, random: np.random.RandomState) -> Examples:
        keys = _places(n, half - 1, pairs, random) + 1
        values = random.randint(half, vocabulary, (n, pairs))
        if layout == "repeated":
            asked = random.randint(0, pairs, (n, -(-length // 2)))
            key, value = (np.take_along_axis(column, asked, 1) for column in (keys, values))
            tokens = np.stack([key, value], -1).reshape(n, -1)[:, :length]
            label = np.full((n, length), NO_LABEL, np.int32)
            label[:, ::2] = np.where(_seen_before(asked, pairs), value, NO_LABEL)
            return tokens.astype(token_type(vocabulary)), label
        asked = random.randint(0, pairs, (n, queries))
        where = 2 * pairs + _places(n, length - 2 * pairs, queries, random)
        tokens, label = _blank(n, length, vocabulary)
        tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
        _put(tokens, where, np.take_along_axis(keys, asked, 1))
        _put(label, where, np.take_along_axis(values, asked, 1))
        return tokens, label

    return _generated(
        "recall", draw, length, vocabulary, (train_size, test_size), seed, val_fraction,
        {"placement": placement, "workers": workers},
    )  # fmt: skip


@checked
def induction(
    *,
    length: int = 256,
    vocabulary: int = 16,
    train_size: int = 8000,
    test_size: int = 1000,
    seed: int = 0,
    val_fraction: float | int = 0.1,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Induction heads (Fu et al. 2022, arXiv:2212.14052, 3.1): what followed when this was last
    seen?

    Random tokens from 1 on, and token 0 twice: somewhere, and at the end. The label of the last
    position is the token that followed the first 0; no other position has one.

    **Raises:** `ValueError` that begins with the argument's name: too short, fewer than 3 tokens,
    no examples, or more than fit into memory.
    """
    if length < 4:
        raise ValueError(f"length: expected 4 positions or more, got {length}")
    if vocabulary < 3:
        raise ValueError(f"vocabulary: expected 3 tokens or more, got {vocabulary}")

    def draw(n: int, random: np.random.RandomState) -> Examples:
        tokens, label = _blank(n, length, vocabulary)
        tokens[:] = random.randint(1, vocabulary, (n, length))
        where, each = random.randint(0, length - 2, n), np.arange(n)
        tokens[each, where] = tokens[:, -1] = _BLANK
        label[:, -1] = tokens[each, where + 1]
        return tokens, label

    return _generated(
        "induction", draw, length, vocabulary, (train_size, test_size), seed, val_fraction,
        {"placement": placement, "workers": workers},
    )  # fmt: skip


@checked
def copying(
    *,
    length: int = 1024,
    vocabulary: int = 10,
    symbols: int = 16,
    selective: bool = True,
    train_size: int = 4000,
    test_size: int = 500,
    seed: int = 0,
    val_fraction: float | int = 0.1,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Copying (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016, arXiv:1511.06464), and
    selective copying (Jing et al. 2019, arXiv:1706.02761).

    A sequence is blank (token 0) but for `symbols` random tokens from 2 on and, at its end, as many
    of the token 1; the labels of these are the symbols in their order, no other position has one.
    The symbols are scattered over what comes before the end; with `selective=False` they are the
    first positions, so that a sequence asks for nothing but a delay.

    **Raises:** `ValueError` that begins with the argument's name: fewer than 4 tokens, more symbols
    than half of the length, no examples, or more than fit into memory.
    """
    if vocabulary < 4:
        raise ValueError(f"vocabulary: expected 4 tokens or more, got {vocabulary}")
    if not 1 <= symbols <= length // 2:
        raise ValueError(f"symbols: expected from 1 to length / 2 = {length // 2}, got {symbols}")

    def draw(n: int, random: np.random.RandomState) -> Examples:
        drawn = random.randint(2, vocabulary, (n, symbols))
        where = np.broadcast_to(np.arange(symbols), (n, symbols))
        if selective:
            where = np.sort(_places(n, length - symbols, symbols, random), 1)
        tokens, label = _blank(n, length, vocabulary)
        tokens[:, -symbols:] = 1
        _put(tokens, where, drawn)
        label[:, -symbols:] = drawn
        return tokens, label

    return _generated(
        "copying", draw, length, vocabulary, (train_size, test_size), seed, val_fraction,
        {"placement": placement, "workers": workers},
    )  # fmt: skip


def token_type(vocabulary: int) -> np.dtype:
    """The smaller of the two dtypes that hold these tokens."""
    return np.dtype(np.uint8 if vocabulary <= 256 else np.int32)


def _generated(
    name: str,
    draw: Callable[[int, np.random.RandomState], Examples],
    length: int,
    vocabulary: int,
    sizes: tuple[int, int],
    seed: int,
    val_fraction: float | int,
    options: dict[str, Any],
) -> Dataset:
    """The data set that `draw(n, random)` makes examples of."""
    example = 2 * length * (token_type(vocabulary).itemsize + 4)  # in pieces, and together
    check_sizes(example, seed, train_size=sizes[0], test_size=sizes[1])
    step, splits = max(1, _AT_ONCE // length), []
    for part, size in enumerate(sizes):
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, part])))
        pieces = [draw(min(step, size - start), random) for start in range(0, size, step)]
        tokens, label = (np.concatenate(column) for column in zip(*pieces, strict=True))
        splits.append(ArraySplit(tokens, label, **options))
    return Dataset.from_splits(
        name,
        *splits,
        class_names=[str(token) for token in range(vocabulary)],
        val_fraction=val_fraction,
        origin=f"generated from seed {seed}",
        task="tokens",
        vocabulary=vocabulary,
    )


def _blank(n: int, length: int, vocabulary: int) -> Examples:
    """Sequences of nothing but blanks, without labels."""
    tokens = np.full((n, length), _BLANK, token_type(vocabulary))
    return tokens, np.full((n, length), NO_LABEL, np.int32)


def _places(
    n: int, among: int, count: int, random: np.random.RandomState
) -> Int[np.ndarray, "n count"]:
    """`count` different numbers from 0 to `among - 1` for each of `n` examples, in random order."""
    drawn = random.random_sample((n, among))
    least = drawn.argpartition(count - 1, axis=1)[:, :count]
    order = np.take_along_axis(drawn, least, 1).argsort(1)
    return np.take_along_axis(least, order, 1)


def _seen_before(drawn: Int[np.ndarray, "n m"], many: int) -> Bool[np.ndarray, "n m"]:
    """Where a number from 0 to `many - 1` stands in its row already."""
    seen = np.ones(drawn.shape, bool)
    for number in range(many):
        its = drawn == number
        rows = np.flatnonzero(its.any(1))
        seen[rows, its[rows].argmax(1)] = False
    return seen


def _put(
    rows: Shaped[np.ndarray, "n length"],
    where: Int[np.ndarray, "n count"],
    values: Int[np.ndarray, "n count"],
) -> None:
    """Write values at these positions of each row."""
    np.put_along_axis(rows, where, values.astype(rows.dtype), 1)
