"""The example of docs/questions.md is a question."""

import re
from pathlib import Path

from cnnlab import lab
from cnnlab.config import compose

PAGE = Path(__file__).parents[2] / "docs" / "questions.md"


def test_the_example(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    module = {"__name__": "strides"}
    exec(compile(example, "strides.py", "exec"), module)
    overrides = ["strides=[2,3]", f"output={tmp_path}", "progress=false"]
    folder, result = lab.answer(module["question"], compose(overrides, "strides"))
    [claim], [table] = result["claims"], result["tables"]
    assert claim["verdict"] == "holds" and claim["evidence"] == "0 of 4 maps differ"
    assert table["header"] == ["side", "stride 2", "stride 3"]
    assert table["rows"] == [[7, 16, 9], [8, 16, 9]]
    assert (folder / "figures" / "outputs.png").is_file()
