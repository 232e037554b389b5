"""Pictures that a table lists: columns, quotes, paths, splits, and what is refused."""

import logging
import os

import numpy as np
import pytest
from PIL import Image

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
    # Absolute paths are taken as they are.
    text = rows("ab" * 6, name=f"{tmp_path}/pictures/{{}}.png").replace("/1.png", "/1, one.png")
    quoted = text.replace(f"{tmp_path}/pictures/1, one.png", f'"{tmp_path}/pictures/1, one.png"')
    assert len(write(quoted).train) == 8


GOOD = rows("ab" * 6)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, r"^image_column: expected one column 'file' .* its columns are none"),
        ("file,kind\n", {}, "^label_column: expected one column 'label' .* are file, kind"),
        ("file,label,label\n", {}, "^label_column: expected one column 'label'"),
        (GOOD, {"split_column": "part"}, "^split_column: expected one column 'part'"),
        ("file,label\n", {}, "^label_column: expected 2 or more classes .* found no rows"),
        (rows("aa"), {}, "^label_column: expected 2 or more classes .* found only 'a'"),
        (GOOD + "x.png\n", {}, "^file: line 14 of .* has 1 values, expected 2"),
        (GOOD + "x.png,\n", {}, "^label_column: line 14 of .* has no 'label'"),
        (GOOD + ",a\n", {}, "^image_column: line 14 of .* has no 'file'"),
        (GOOD + 'x.png,"a\n', {}, "^file: .* is not a table that can be read: unexpected end"),
        (GOOD + 'x.png,"a\x1b"\n', {}, "^label_column: expected classes that can be printed"),
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
        (GOOD.replace("file,label", "file,label").replace(",b", ",test"), {}, None),
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
