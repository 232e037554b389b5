"""Examples of the documentation that stand alone run as they stand.

Those that need what stands around them are tested where their subject is.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("page", "shape"),
    [
        ("README.md", (8, 28, 28, 64)),
        ("docs/algorithms.md", (64, 16, 16, 128)),
        ("docs/sequences.md", (8, 4096, 64)),
    ],
)
def test_the_first_example_of_a_page(page, shape, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)[0]
    space = {"__name__": "example"}
    exec(example.replace("epochs=2", "steps=2"), space)
    assert space["y"].shape == shape
    if "result" in space:
        assert space["result"]["steps"] == 2
