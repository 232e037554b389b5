"""The examples of docs/questions.md are questions."""

import re
from pathlib import Path

from cnnlab import lab
from cnnlab.config import compose

PAGE = Path(__file__).parents[2] / "docs" / "questions.md"


def answered(example, folder):
    module = {"__name__": "strides"}
    exec(compile(example, "strides.py", "exec"), module)
    overrides = ["strides=[2,3]", f"output={folder}", "progress=false"]
    folder, result = lab.answer(module["question"], compose(overrides, "strides"))
    [claim], [table] = result["claims"], result["tables"]
    return folder, claim, table


def test_the_examples(tmp_path):
    short, _, whole = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    folder, claim, table = answered(short, tmp_path / "short")
    assert (
        claim["verdict"] == "holds" and "stride 3 - 2: -7, expected at most 0" in claim["evidence"]
    )
    assert table["rows"] == [[2, "16"], [3, "9"]]
    folder, claim, table = answered(whole, tmp_path)
    assert claim["verdict"] == "holds" and claim["evidence"] == "0 of 4 maps differ"
    assert table["header"] == ["side", "stride 2", "stride 3"]
    assert table["rows"] == [[7, 16, 9], [8, 16, 9]]
    assert (folder / "figures" / "outputs.png").is_file()
