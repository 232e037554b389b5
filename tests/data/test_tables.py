"""Pictures that a table lists: columns, quotes, paths, splits, and what is refused."""

import logging
import os

import numpy as np
import pytest
from PIL import Image

from cnnlab.config import ConfigError, build, compose
from cnnlab.data import table


@pytest.fixture
def write(tmp_path):
    """Twelve grey pictures in a folder, each of one value, and a function that writes a table."""
    (tmp_path / "pictures").mkdir()
    for value in range(12):
        Image.new("L", (3, 4), 20 * value).save(tmp_path / "pictures" / f"{value}.png")

    def made(text, **options):
        (tmp_path / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return table(tmp_path / "labels.csv", **options)

    return made


def rows(labels, name="pictures/{}.png"):
    lines = [f"{name.format(i)},{label}" for i, label in enumerate(labels)]
    return "file,label\n" + "\n".join(lines) + "\n"


def values_of(split):
    image, label = split.take(np.arange(len(split)))
    return {int(v) // 20: int(k) for v, k in zip(image[:, 0, 0, 0], label, strict=True)}


def test_a_table_of_files_and_labels(write):
    data = write(rows("bbbaaacccaba"))
    assert (data.class_names, data.input_shape) == (("a", "b", "c"), (4, 3, 1))
    found = [values_of(split) for split in (data.train, data.val, data.test)]
    assert [len(part) for part in found] == [6, 3, 3]
    assert {k: v for part in found for k, v in part.items()} == dict(
        enumerate([1, 1, 1, 0, 0, 0, 2, 2, 2, 0, 1, 0])
    )
    assert write(rows([10, 9] * 6)).class_names == ("9", "10")
    assert write(rows([10, 9] * 6).replace(",", " ,\t")).class_names == ("9", "10")
    tabs = rows([10, 9] * 6).replace(",", "\t")
    assert write(tabs, delimiter=r"\t").class_names == ("9", "10")
    long = "1" * 5000
    assert write(rows([long, 9, "010", 10] * 3)).class_names == ("9", "010", "10", long)


def test_quotes_spaces_other_columns_and_splits(write, tmp_path):
    os.rename(tmp_path / "pictures" / "1.png", tmp_path / "pictures" / "1, one.png")
    kinds = ["train"] * 6 + ["valid"] * 2 + ["Test"] * 4
    lines = ['\ufeffid;kind;"the label";path', ""]
    for i, kind in enumerate(kinds):
        path = "1, one.png" if i == 1 else f"{i}.png"
        label = 'big ""cat""' if i % 2 else "dog"
        lines.append(f'{i};{kind};"{label}"; {path}')
    data = write(
        "\r\n".join(lines),
        root=tmp_path / "pictures",
        image_column="path",
        label_column="the label",
        split_column="kind",
        delimiter=";",
    )
    assert data.class_names == ('big "cat"', "dog")
    for split, places in ((data.train, range(6)), (data.val, (6, 7)), (data.test, range(8, 12))):
        assert values_of(split) == {i: 1 - i % 2 for i in places}
    # Absolute paths are taken as they are, below the folder.
    text = rows("ab" * 6, name=f"{tmp_path}/pictures/{{}}.png").replace("/1.png", "/1, one.png")
    quoted = text.replace(f"{tmp_path}/pictures/1, one.png", f'"{tmp_path}/pictures/1, one.png"')
    assert len(write(quoted).train) == 8


GOOD = rows("ab" * 6)
SPLIT = "file,label,part\npictures/1.png,a,{0}\npictures/2.png,a,{0}\npictures/3.png,b,{1}\n"
NUMBERS = [i / 4 for i in range(12)]
MANY = {"task": "multilabel", "label_column": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "options", "names", "expected"),
    [
        (rows(NUMBERS), {"task": "regression"}, ("label",), lambda i: [i / 4]),
        (
            rows([f"{i},-{i}e-1" for i in range(12)]).replace("label", "age,b (cm)"),
            {"task": "regression", "label_column": ["b (cm)", "age"]},
            ("b (cm)", "age"),
            lambda i: [-i / 10, i],
        ),
        (
            rows([f"{i % 2},{i % 3 // 2}" for i in range(12)]).replace("label", "a,b"),
            MANY,
            ("a", "b"),
            lambda i: [i % 2, i % 3 // 2],
        ),
        (
            rows([i % 2 for i in range(12)]),
            {"task": "multilabel", "label_column": ["label"]},
            ("label",),
            lambda i: [i % 2],
        ),
        (
            rows(["", "10", "9; 10", "9;;"] * 3),
            {"task": "multilabel", "label_separator": ";"},
            ("9", "10"),
            lambda i: [i % 4 > 1, i % 4 in (1, 2)],
        ),
    ],
    ids=["number", "numbers", "flags", "flag", "names"],
)
def test_numbers_and_several_labels(write, tmp_path, text, options, names, expected):
    data = write(text, **options)
    assert (data.task, data.class_names) == (options["task"], names)
    splits = (data.train, data.val, data.test)
    assert [len(split) for split in splits] == [9, 1, 2]
    for split in splits:
        image, label = split.take(np.arange(len(split)))
        places = image[:, 0, 0, 0] // 20
        np.testing.assert_allclose(label, [expected(int(i)) for i in places], rtol=1e-6)
    other = write(text.replace("10.png", "11.png,", 1).replace(",,", ","), **options)
    assert other.fingerprint != data.fingerprint


def test_a_network_has_an_output_for_each_number(write, tmp_path):
    write(
        rows([f"{i},{i}" for i in range(12)]).replace("label", "a,b"),
        **{**MANY, "task": "regression"},
    )
    overrides = [
        *("data=csv", f"data.file={tmp_path / 'labels.csv'}", "data.task=regression"),
        *("data.label_column=[a,b]", "loss=huber", "backbone=mlp", "norm=none", "batch_size=4"),
    ]
    experiment = build(compose(overrides))
    assert list(experiment.metrics) == ["r2", "mean_absolute_error"]
    assert experiment.model.head.linear.weight.shape[-1] == 2
    with pytest.raises(ConfigError, match=r"^loss: expected mean_squared_error or"):
        build(compose([*overrides, "loss=cross_entropy"]))
    with pytest.raises(ConfigError, match=r"^data.task: expected one of classi"):
        compose([*overrides, "data.task=segmentation"])


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, r"^image_column: expected one column 'file' .* its columns are none"),
        ("file,kind\n", {}, "^label_column: expected one column 'label' .* are 'file', 'kind'$"),
        ("file,label,label\n", {}, "^label_column: expected one column 'label'"),
        (
            GOOD.replace(",", ";"),
            {},
            """are 'file;label'; to separate them there: 'data.delimiter=";"'$""",
        ),
        (GOOD.replace(",", "\t"), {}, r"""are 'file\\tlabel'; .*: 'data.delimiter="\\t"'$"""),
        (
            GOOD + "x.png,a\0\n",
            {},
            r"^label_column: line 14 of .* has a zero byte in 'label', 'a\\x00'",
        ),
        (GOOD, {"split_column": "part"}, "^split_column: expected one column 'part'"),
        ("file,label\n", {}, "^file: .*labels.csv has no rows below the names of its columns"),
        (rows("aa"), {}, "^label_column: expected 2 or more classes .* found only 'a'"),
        (GOOD + "x.png\n", {}, "^file: line 14 of .* has 1 values, expected 2"),
        (GOOD + "x.png,\n", {}, "^label_column: line 14 of .* has no 'label'"),
        (GOOD + ",a\n", {}, "^image_column: line 14 of .* has no 'file'"),
        (GOOD + 'x.png,"a\n', {}, "^file: .* is not a table that can be read: unexpected end"),
        (GOOD + 'x.png,"a\x1b"\n', {}, "^label_column: expected names that can be printed"),
        (GOOD.encode("utf-16"), {}, "^file: .* is not a table in UTF-8"),
        (GOOD, {"delimiter": ""}, "^delimiter: expected one character"),
        (GOOD, {"delimiter": ";;"}, "^delimiter: expected one character"),
        (GOOD, {"root": "nowhere"}, "^root: no such folder: 'nowhere'"),
        (
            "a,b\n1,2\n",
            {"image_column": "a", "label_column": "b", "split_column": "a"},
            "found only",
        ),
        (GOOD + "pictures/12.png,a\n", {}, "^broken: .*12.png can't be read: No such file"),
        (GOOD.replace(",b", ",test"), {}, None),
        (
            SPLIT.format("test", "test"),
            {"split_column": "part"},
            "^split_column: no picture to train on is left",
        ),
        (
            SPLIT.format("train", "test"),
            {"split_column": "part", "val_fraction": 0},
            "^split_column: no training picture of the class 'b' is left",
        ),
        (rows(NUMBERS), {}, "^label_column: expected classes .*; task=regression takes numbers"),
        (
            rows(["a,1"] * 6).replace("label", "a,b"),
            {"label_column": ["a", "b"]},
            "^label_column: expected one column of classes, got a, b; task=multilabel takes",
        ),
        (GOOD, {"label_column": ["label", "label"]}, "^label_column: expected different columns"),
        (
            GOOD,
            {"task": "regression"},
            "^label_column: expected a number in 'label', line 2 has 'a'",
        ),
        (rows(["1e99"] * 6), {"task": "regression"}, "^label_column: expected a number .* '1e99'"),
        (rows(["1_00"] * 6), {"task": "regression"}, "^label_column: expected a number .* '1_00'"),
        (rows(["\u0661"] * 6), {"task": "regression"}, "^label_column: expected a number in"),
        (
            rows(["", "1"] * 6),
            {"task": "multilabel", "label_column": ["label"]},
            "^label_column: line 2 of .* has no 'label'",
        ),
        (rows("ab", "../{}.png"), {}, r"^image_column: line 2 names ../0.png, which is outside of"),
        (rows("ab", "/etc/{}.png"), {}, r"^image_column: line 2 names /etc/0.png, which is outsi"),
        (rows(["nan"] * 6), {"task": "regression"}, "^label_column: expected a number .* 'nan'"),
        (
            rows(["1,0"] * 5 + ["1,2"]).replace("label", "a,b"),
            MANY,
            "^label_column: expected 0 or 1 in 'b', line 7 has '2'",
        ),
        (rows([""] * 6), {"task": "multilabel"}, "^label_column: no row of .* names a label"),
        (rows([""] * 6), {"task": "regression"}, "^label_column: line 2 of .* has no 'label'"),
        (GOOD, {"task": "multilabel", "label_separator": ""}, "^label_separator: expected a text"),
    ],
)
def test_tables_that_are_refused(write, text, options, says):
    if says is None:
        assert write(text, **options).class_names == ("a", "test")
        return
    with pytest.raises(ValueError, match=says) as caught:
        write(text, **options)
    assert "\n" not in str(caught.value)


def test_a_split_of_another_name_and_a_table_that_is_not_there(
    write, tmp_path, caplog, monkeypatch
):
    text = "file,label,part\n" + "".join(f"pictures/{i}.png,{i % 2},x{i}\n" for i in range(4))
    with pytest.raises(
        ValueError, match=r"^split_column: expected train, val or test, line 2 has 'x0'"
    ):
        write(text, split_column="part")
    with pytest.raises(ValueError, match=r"^file: .*/none.csv can't be read: No such file"):
        table(tmp_path / "none.csv")
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    data = write(GOOD + "pictures/12.png,a\n", broken="skip")
    assert len(data.train) + len(data.val) + len(data.test) == 12
    assert "1 of 13 files are left out: " in caplog.text


def test_pictures_that_contradict_each_other_are_said(write, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("cnnlab"), "propagate", True)
    write(GOOD)
    assert caplog.text == ""
    write(GOOD + "pictures/0.png,b\n")
    assert "1 of 13 pictures have another label too: " in caplog.text
    parts = [
        f"pictures/{i % 11}.png,{i % 11 % 2},{'test' if i > 8 else 'train'}" for i in range(12)
    ]
    write("\n".join(["file,label,part", *parts]), split_column="part")
    assert "1 of 12 pictures are in another split too: " in caplog.text
