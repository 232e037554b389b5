"""Sequences of tokens: what each asks for, by a plain loop over one sequence."""

import itertools
import statistics
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from cnnlab.data import (
    ArraySplit,
    Dataset,
    copying,
    fashion_sequence,
    induction,
    listops,
    recall,
    stdlib_bytes,
    text,
)
from cnnlab.data.expressions import TOKENS
from cnnlab.data.splits import DataError

ONCE = {"layout": "once", "queries": 5}
SMALL = {"train_size": 12, "test_size": 4, "val_fraction": 0.25}


def answers_of_recall(tokens, pairs):
    value, end = {}, 2 * pairs
    for key, its in zip(tokens[:end:2], tokens[1:end:2], strict=True):
        value[key] = its
    return [-1] * end + [value.get(token, -1) for token in tokens[end:]]


def answers_of_repeated(tokens, _):
    last, labels = {}, []
    for i, token in enumerate(tokens):
        labels.append(last.get(token, -1) if i % 2 == 0 else -1)
        if i % 2 == 0 and i + 1 < len(tokens):
            last[token] = tokens[i + 1]
    return labels


def answers_of_induction(tokens, _):
    return [-1] * (len(tokens) - 1) + [tokens[tokens.index(0) + 1]]


def answers_of_copying(tokens, _):
    symbols = [token for token in tokens if token > 1]
    return [-1] * (len(tokens) - len(symbols)) + symbols


@pytest.mark.parametrize(
    ("make", "options", "answers"),
    [
        (recall, {"length": 40, "vocabulary": 12, "pairs": 3, **ONCE}, answers_of_recall),
        (recall, {"length": 9, "vocabulary": 300, "pairs": 2, **ONCE}, answers_of_recall),
        (recall, {"length": 41, "vocabulary": 12, "pairs": 3}, answers_of_repeated),
        (induction, {"length": 12, "vocabulary": 5}, answers_of_induction),
        (copying, {"length": 20, "symbols": 4}, answers_of_copying),
        (copying, {"length": 20, "symbols": 4, "selective": False}, answers_of_copying),
    ],
)
def test_the_labels_are_the_answers(make, options, answers):
    data = make(**options, **SMALL)
    n = options["length"]
    assert (len(data.train), len(data.val), len(data.test)) == (9, 3, 4)
    assert data.input_shape == data.positions == (n,) and data.task == "tokens"
    assert data.num_classes == data.vocabulary == options.get("vocabulary", 10)
    for tokens, label in zip(data.train.image.tolist(), data.train.label.tolist(), strict=True):
        assert label == answers(tokens, options.get("pairs"))
    same, other = make(**options, **SMALL), make(**options, **SMALL, seed=1)
    np.testing.assert_array_equal(same.test.image, data.test.image)
    assert not np.array_equal(other.test.image, data.test.image)


def test_recall_asks_for_all_pairs_at_all_distances():
    once = {"layout": "once", "queries": 4}
    data = recall(length=24, vocabulary=10, pairs=2, **once, train_size=4000, test_size=1)
    tokens, label = data.train.image, data.train.label
    assert ((label >= 0).sum(1) == 4).all() and (tokens[:, 0] != tokens[:, 2]).all()
    share = (label >= 0).mean(0)
    np.testing.assert_allclose(share, [0] * 4 + [4 / 20] * 20, atol=0.03)
    each = np.bincount(tokens[:, :4:2].reshape(-1), minlength=10)
    assert (each[1:5] > 1600).all() and each[0] == each[5:].sum() == 0
    first = (label == tokens[:, 1:2]) & (label >= 0)
    assert 0.5 < first.sum() / (label >= 0).sum() < 0.7  # both have the same value now and then


def test_symbols_are_copied_from_everywhere():
    data = copying(length=20, symbols=4, train_size=4000, test_size=1)
    where = (data.train.image > 1).mean(0)
    np.testing.assert_allclose(where, [4 / 16] * 16 + [0] * 4, atol=0.03)
    plain = copying(length=20, symbols=4, selective=False, train_size=10, test_size=1)
    assert (plain.train.image[:, :4] > 1).all() and (plain.train.image[:, 4:16] == 0).all()


def evaluated(words):
    """The result of `[MAX 2 9 [MIN 4 7 ] 0 ]`, by recursion; what follows it must be blank."""
    kinds = {
        "[MIN": min, "[MAX": max, "[SM": lambda x: sum(x) % 10,
        "[MED": lambda x: int(statistics.median(x)),
    }  # fmt: skip

    def one(depth):
        word = next(words)
        if word not in kinds:
            return int(word), depth
        inside, deepest = [], depth
        while (found := peek()) != "]":
            value, below = one(depth + 1)
            inside.append(value)
            deepest = max(deepest, below)
            assert found != "blank"
        next(words)
        counts.append(len(inside))
        return kinds[word](inside), deepest

    def peek():
        nonlocal words
        words, ahead = itertools.tee(words)
        return next(ahead)

    counts = []
    return *one(1), counts, set(words) <= {"blank"}


def test_listops_are_worth_what_they_say():
    data = listops(min_length=8, max_length=40, depth=4, arguments=4, train_size=80, test_size=20)
    assert data.input_shape == (40,) and data.vocabulary == 16 and data.positions == ()
    rows = np.concatenate([data.train.image, data.val.image, data.test.image])
    label = np.concatenate([data.train.label, data.val.label, data.test.label])
    length = (rows != TOKENS.index("blank")).sum(1)
    assert length.min() >= 8 and len(np.unique(rows, axis=0)) == 100
    counts = []
    for row, expected in zip(rows, label, strict=True):
        value, depth, its, ended = evaluated(iter([TOKENS[token] for token in row]))
        assert value == expected and depth <= 4 and ended
        counts += its
    assert set(counts) == {2, 3, 4}
    assert set(rows.reshape(-1)) == set(range(16))


def test_every_byte_of_the_library_is_asked_for_once():
    data = stdlib_bytes(length=512)
    train, val, test = data.train, data.val, data.test
    for split in (train, val, test):
        np.testing.assert_array_equal(split.image[:, 1:], split.label[:, :-1])
        np.testing.assert_array_equal(split.image[1:, 0], split.label[:-1, -1])
    sizes = np.array([len(split) for split in (train, val, test)])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.9, 0.05, 0.05], atol=0.02)
    files = bytes(test.image.reshape(-1)).split(b"\0")[1:-1]
    root = Path(sysconfig.get_path("stdlib"))
    sources = {path.read_bytes() for path in root.glob("*.py")}
    assert len(files) > 5 and any(file in sources for file in files)
    both = bytes(train.image.reshape(-1)).split(b"\0")
    assert not {file for file in files if len(file) > 100} & set(both)
    again = stdlib_bytes(length=512)
    assert data.fingerprint == again.fingerprint != stdlib_bytes(length=511).fingerprint
    assert data.class_names[97] == "a" and data.class_names[10] == "\\n"


def test_a_python_without_sources_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(text.sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(DataError, match=r"^stdlib_bytes: this Python keeps no \.py files in"):
        stdlib_bytes()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recall(vocabulary=7), "vocabulary: expected an even number from 4 on, got 7"),
        (lambda: recall(pairs=16), "pairs: expected from 1 to 15, the keys of a vocabulary of 32"),
        (
            lambda: recall(length=32, layout="once"),
            "queries: expected from 1 to the 16 positions of 32 that 8 pairs leave, got 64",
        ),
        (lambda: recall(length=20), "length: expected 4 times 8 pairs or more, got 20"),
        (lambda: induction(length=3), "length: expected 4 positions or more, got 3"),
        (lambda: induction(vocabulary=2), "vocabulary: expected 3 tokens or more, got 2"),
        (lambda: copying(length=30), "symbols: expected from 1 to length / 2 = 15, got 16"),
        (lambda: copying(vocabulary=3), "vocabulary: expected 4 tokens or more, got 3"),
        (lambda: copying(train_size=0), "train_size: expected an integer >= 1, got 0"),
        (lambda: listops(min_length=9, max_length=8), "min_length: expected from 4 to max_length"),
        (lambda: listops(arguments=1), "arguments: expected 2 or more, got 1"),
        (
            lambda: listops(min_length=4, max_length=4, depth=2, arguments=2, test_size=1),
            "min_length: expected lengths that 10,001 lists have, found 400 of 4 to 4 tokens",
        ),
        (lambda: stdlib_bytes(length=10**9), "length: expected fewer than the .* bytes of a split"),
        (lambda: stdlib_bytes(val_fraction=0), "val_fraction: expected a number above 0 and below"),
    ],
)
def test_what_can_not_be_made_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tokens", "label", "vocabulary", "message"),
    [
        ([[0, 5]], [[0, 1]], 5, "expected tokens from 0 to 4, the split train has 5"),
        ([[0, 1]], [[-1, -1]], 5, "no position of the split train has a label"),
        ([[0, 1]], [[0, -5]], 5, "expected labels from 0 to 4, the split train has -2"),
        ([[0, 1]], [[0, 1]], None, r"expected whole numbers \(n, length\) and their vocabulary"),
        ([[0.0, 1.0]], [[0]], 5, "expected a class at each position"),
    ],
)
def test_tokens_and_labels_are_looked_at(tokens, label, vocabulary, message):
    split = ArraySplit(np.array(tokens), np.array(label))
    with pytest.raises(DataError, match=f"^mine: {message}"):
        Dataset.from_splits(
            "mine", split, split, class_names="abcde", origin="", task="tokens",
            vocabulary=vocabulary,
        )  # fmt: skip


def test_pixels_are_those_of_the_pictures(monkeypatch):
    from cnnlab.data import fake, pixels

    pictures = fake(shape=(28, 28, 1), train_size=20, test_size=4)
    monkeypatch.setattr(pixels, "fashion_mnist", lambda **options: pictures)
    plain, other = fashion_sequence(), fashion_sequence(permute=True)
    whole = pictures.test.image.reshape(4, 784)
    np.testing.assert_array_equal(plain.test.image[..., 0], whole)
    assert plain.input_shape == other.input_shape == (784, 1)
    assert not np.array_equal(other.test.image, plain.test.image)
    order = other.test.image[:, :, 0].astype(int)
    np.testing.assert_array_equal(np.sort(order), np.sort(whole.astype(int)))
    np.testing.assert_array_equal(plain.test.label, pictures.test.label)
    assert plain.high == 255 and len(plain.val) == len(pictures.val)
