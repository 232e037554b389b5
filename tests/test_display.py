"""What objects show of themselves: text and HTML of one view, escaped, and never an error."""

import base64
import io
import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from PIL import Image

import cnnlab
from cnnlab import analysis, nn
from cnnlab.display import View, inline, shown
from cnnlab.lab import Records
from cnnlab.train import predict
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.tasks import Classification

HOSTILE = "<script>alert('1')</script>\x1b[2J\n"


@shown
class Thing:
    def __init__(self, view):
        self._view = view

    def view(self):
        return self._view if isinstance(self._view, View) else self._view()


def test_a_table_as_text_and_as_html():
    table = [("layer", "parameters"), ("conv", 1234), ("sum", 1234)]
    thing = Thing(View("network", table, total=True, notes=["of two parts"]))
    assert repr(thing).splitlines() == [
        *("network", "layer  parameters", "-----------------", "conv         1234"),
        *("-----------------", "sum          1234", "of two parts"),
    ]
    page = thing._repr_html_()
    assert page.count("<tr>") == 3 and page.count("<th ") == 4 and page.count("<td ") == 2
    assert '<td style="text-align:right">1234</td>' in page and "<b>network</b>" in page
    assert "<div>of two parts</div>" in page
    facts = Thing(View.of("run", {"steps": 20, "seed": None, "where": "here"}))
    assert repr(facts).splitlines() == ["run", "steps  20", "where  here"]
    assert "<th" not in facts._repr_html_()


def test_what_is_shown_is_escaped_and_on_one_line():
    thing = Thing(View(HOSTILE, [("name", HOSTILE), (HOSTILE, "x" * 1000)], notes=[HOSTILE]))
    page, text = thing._repr_html_(), repr(thing)
    assert "<script>" not in page and page.count("&lt;script&gt;alert(&#x27;1&#x27;)") == 4
    assert not {"\x1b", "\r"} & {*page, *text} and len(text.splitlines()) == 5
    assert "x" * 161 not in page + text


def test_a_picture_is_inline_where_there_is_one(tmp_path):
    content = io.BytesIO()
    Image.new("L", (2, 3)).save(content, "png")
    file = tmp_path / "curves.png"
    assert "<img" not in Thing(View("run", picture=file))._repr_html_()
    file.write_bytes(content.getvalue())
    expected = f'src="{inline(content.getvalue())}"'
    assert expected in Thing(View("run", picture=file))._repr_html_()
    assert expected in Thing(View("run", picture=content.getvalue))._repr_html_()


def test_what_can_not_be_shown_is_named():
    thing = Thing(lambda: 1 / 0)
    assert repr(thing) == "<Thing, not shown: division by zero>" and thing._repr_html_() is None


def fitted():
    images, labels = np.zeros((8, 4, 4, 1), np.float32), np.arange(8) % 4
    model = nn.Conv2d(1, 4, 4, padding="VALID", key=jax.random.key(0))
    loss = lambda logits, label: optax.softmax_cross_entropy_with_integer_labels(
        logits[:, 0, 0], label
    )
    return cnnlab.fit(
        model, (images, labels), loss=loss, optimizer=optax.sgd(0.1), steps=3, batch_size=8
    )


EXPECTED = {
    "fit": (fitted, "Conv2d, 68 parameters"),
    "summary": (
        lambda: cnnlab.summary(nn.Conv2d(1, 4, 3, key=jax.random.key(0)), (8, 8, 1)),
        "receptive field",
    ),
    "operations": (lambda: cnnlab.summary(lambda x: x @ x, np.ones((3, 3))), "27 multiply-adds"),
    "cost": (lambda: analysis.cost(lambda x: x @ x, np.ones((3, 3))), "27 multiply-adds"),
    "field": (
        lambda: analysis.receptive_field(lambda x: x[:, 1::2], np.ones((1, 8, 1))), "offset"
    ),
    "sweep": (
        lambda: Records({"conv": "dense", "seed": seed, "loss": 0.5} for seed in range(50)),
        "and 10 more",
    ),
    "prediction": (
        lambda: predict.Prediction([("shoe", 0.75)], Classification(("hat", "shoe"))),
        "75.0%  shoe",
    ),
    "evaluation": (
        lambda: Evaluation(np.eye(4)[:, :2], np.array([0, 1, 0, 1])), "0.7500"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_user_holds_shows_itself(name):
    make, expected = EXPECTED[name]
    found = make()
    text, page = repr(found), found._repr_html_()
    assert expected in text and expected in page
    assert len(text.splitlines()) < 50 and "not shown" not in text
    if name == "fit":
        content = page.partition("base64,")[2].partition('"')[0]
        assert Image.open(io.BytesIO(base64.b64decode(content))).width > 200


def test_the_example_of_the_documentation():
    page = Path(__file__).parents[1] / "docs" / "notebooks.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    space = {"__name__": "example"}
    exec(example, space)
    assert repr(space["Spread"]([1, 3])).splitlines() == ["spread", "seeds    2", "largest  3"]
