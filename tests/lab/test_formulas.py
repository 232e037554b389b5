"""Formulas in plain text, as the page has them."""

import pytest

from cnnlab.lab.formulas import formulas


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("on the order of 10^13.", "on the order of 10<sup>13</sup>."),
        ("s^2 / (hw), (hw)^2", "<i>s</i><sup>2</sup> / (<i>hw</i>), (<i>hw</i>)<sup>2</sup>"),
        ("n ~ d^-2.00", "<i>n</i> ~ <i>d</i><sup>&minus;2.00</sup>"),
        ("W_out, [f(X)]_ij", "<i>W</i><sub>out</sub>, [<i>f</i>(<i>X</i>)]<sub>ij</sub>"),
        ("||A1 - A2||_F", "‖<i>A</i><sub>1</sub> &minus; <i>A</i><sub>2</sub>‖<sub><i>F</i></sub>"),
        ("the images' c' channels", "the images&#39; <i>c</i>&prime; channels"),
        ("floor((n - k) / 2) + 1", "⌊(<i>n</i> &minus; <i>k</i>) / 2⌋ + 1"),
        ("1 / sqrt(d), sqrt(2 d)", "1 / √<i>d</i>, √(2 <i>d</i>)"),
        ("2k + 1 <= 3", "2<i>k</i> + 1 ≤ 3"),
        ("5.147e-07 of 1e-05", "5.1 &times; 10<sup>&minus;7</sup> of 10<sup>&minus;5</sup>"),
        ("0.2 [-0.5, .9]", "0.2 [&minus;0.5, .9]"),
        ("to 0.0e+00", "to 0"),
        ("3x3 on 32 x 32 x 3", "3&times;3 on 32&times;32&times;3"),
        ("5 % of all", "5\N{NO-BREAK SPACE}% of all"),
        # No formulas.
        ("A 2-D layer of VGG's, i.e. a 1-D one", "A 2-D layer of VGG&#39;s, i.e. a 1-D one"),
        ("breast_cancer, well-tuned, p4", "breast_cancer, well-tuned, p4"),
        ("<br> & so on", "&lt;br&gt; &amp; so on"),
    ],
)  # fmt: skip
def test_as_in_a_book(plain, shown):
    assert formulas(plain) == shown
