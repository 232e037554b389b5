"""The page of the lab book, as HTML and as Markdown."""

from html.parser import HTMLParser

from book_answer import ANSWER, CLAIM

from cnnlab.lab import brief, markdown, page

VOID = {"meta", "img", "br", "line", "rect", "circle"}


class Checker(HTMLParser):
    """Every tag is closed in its turn; nothing is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.images = [], "", 0

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        assert tag != "script" and not values.get("href", "#").startswith("http")
        if tag == "img":
            assert values["src"].startswith("data:image/png;base64,") and values["alt"]
            self.images += 1

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.png").write_bytes(b"\x89PNG")
    checker = Checker()
    checker.feed(page([(tmp_path, ANSWER)], {"heads": "it <broke>"}, scale="full"))
    assert not checker.open and checker.images == 1
    for text in ("1 < 2 & so on", "Is it <so>?", "<b>", "it <broke>", "0 of 3 differ", "A note."):
        assert text in checker.text
    shown = " ".join(checker.text.split())
    for text in (
        "2 holds", "2 fails", "python -m experiments.toeplitz scale=full took 90 s", "all beat 80",
        "What one sees.", "Without an answer: heads: it <broke>", "All measured with jax 1.2.",
        "points 1.00 [0.50, 1.70] (n = 4) all 1 (n = 4)", "1.5 expected at least 0",
    ):  # fmt: skip
        assert text.replace(" ", "") in shown.replace("\N{NO-BREAK SPACE}", "").replace(" ", "")


def test_the_summary_says_what_is_wrong_with_the_chapters(tmp_path):
    """In the order of their sections; what a paper says is not laid at their door."""
    claims = [
        CLAIM | {"name": "late", "source": "A 10.2", "statement": "late"},
        CLAIM | {"name": "early", "source": "A 2.9", "statement": "early"},
        CLAIM | {"name": "open", "source": "arXiv:1", "verdict": "inconclusive"},
        *ANSWER["claims"],
    ]
    checker = Checker()
    checker.feed(page([(tmp_path, ANSWER | {"claims": claims})], {}, scale="fast"))
    text = " ".join(checker.text.split())
    assert "chapter A1103 chapter B0001 published papers0010" in text
    found = text.index("measurements: 1 A 1.1: not at all Found: 0 of 3 differ."), text.index(
        "leaves out: 1 A 1.1: as printed Rather: with Wij Found: 0 of 3 differ."
    ), text.index("Not settled by these measurements: 1 arXiv:1")  # fmt: skip
    right = "Right: 4 A 1.1: 1 < 2 & so on A 2.9: early A 10.2: late B 2: with Wij"
    assert [*found, text.index(right)] == sorted([*found, text.index(right)])


def test_the_same_as_markdown():
    text = brief([ANSWER])
    assert text.startswith("# The lab book\n\n| claims of | wrong | loose | open | right |\n")
    assert "| chapter A | 1 | 1 | 0 | 1 |" in text
    assert "- A 1.1: as printed *Rather:* with <i>W</i><sub>ij</sub>\n" in text
    assert (
        "# Is it <so>? (`toeplitz`)\n\nIt is, of <i>s</i><sup>2</sup> <i>c</i>&prime; weights.\n"
        in text
    )
    assert "points: 1.00 [0.50, 1.70] (<i>n</i> = 4), expected at least 0; all: 1" in text
    assert "| <i>x</i> |" not in text and "\n\n| <i>x</i> |\n| --- |\n" in markdown(ANSWER)


def test_an_interval_is_drawn_to_scale(tmp_path):
    """The limit 0 and the interval 0.5 to 1.7 around 1, on -0.136 to 1.836."""
    shown = page([(tmp_path, ANSWER)], {}, scale="fast")
    place = lambda value: round(300 * (value + 0.136) / 1.972, 1)
    assert f'<circle class="mean" cx="{place(1)}"' in shown
    assert f'class="whisker" x1="{place(0.5)}" x2="{place(1.7)}"' in shown
    assert f'class="range" x="{place(0)}" width="{round(300 - place(0), 1)}"' in shown
    assert f'<text x="{place(1)}" y="16">1</text>' in shown
    assert shown.count('class="whisker"') == 1 and shown.count('class="mean"') == 2
    assert (
        "<i>s</i><sup>2</sup> <i>c</i>&prime; weights" in shown and "<i>W</i><sub>ij</sub>" in shown
    )


def test_a_figure_stands_below_the_claim_that_it_serves(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "one.png").write_bytes(b"\x89PNG")
    first = ANSWER["claims"][-1] | {"name": "first", "id": ""}
    answer = ANSWER | {"claims": [first, *ANSWER["claims"]]}
    shown = lambda **more: page([(tmp_path, answer | more)], {}, scale="fast")
    assert 'class="slim"' not in shown()
    (tmp_path / "figures" / "one-narrow.png").write_bytes(b"\x89PNG")
    text = shown(figures={"one": "Left: one. Right: two."})
    assert 'class="slim">Above: one. Below: two.<' in text
    assert text.count("data:image/png") == 2
    after = lambda text: text.index("<figure") > text.index('id="toeplitz-right"')
    assert after(shown()) and not after(shown(serves={"one": "first"}))
