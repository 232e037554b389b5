"""Formulas in plain text, as they are printed: powers, indices, signs."""

import re
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

_Replacement = str | Callable[[re.Match[str]], str]
_GREEK = {"delta": "δ", "epsilon": "ε", "Omega": "Ω", "pi": "π"}


def formulas(text: object) -> Markup:
    """Text as HTML in which s^2, (hw)^2, W_ij, c', sqrt(d), ||A1 - A2||_F, 3x3, 1e-05 and -1 look
    as in a book."""
    shown = str(escape(text))
    for pattern, replacement in _RULES:
        shown = re.sub(pattern, replacement, shown)
    return Markup(shown)


def _power_of_ten(found: re.Match[str]) -> str:
    """1.315e-06 as 1.3 &times; 10^-6."""
    digits = f"{float(found[1]):.2g}"
    factor = "" if digits == "1" else f"{digits} &times; "
    return "0" if digits == "0" else f"{factor}10^{int(found[2])}"


_RULES: Sequence[tuple[str, _Replacement]] = (
    ("&lt;=", "≤"),
    ("&gt;=", "≥"),
    ("!=", "≠"),
    (r"\b(\d(?:\.\d+)?)e([+-]?\d+)\b", _power_of_ten),
    (r"(?<=\d) ?x ?(?=\d)", "&times;"),
    (r"\b(delta|epsilon|Omega|pi)\b", lambda found: _GREEK[found[1]]),
    (r"\bsqrt\((\w+)\)", r"√\1"),
    (r"\bsqrt\(", "√("),
    (r"\bfloor\(((?:[^()]|\([^()]*\))*)\)", r"⌊\1⌋"),
    (r"\blog2\b", "log<sub>2</sub>"),
    (r"\* o (?=[A-Z])", "* ∘ "),
    (r"(?<=\w) \. (?=\w)", " · "),
    (r"\|\|", "‖"),
    # Powers and indices.
    (r"\^(-?\w+(?:\.\d+)*|\([^()]*\))", r"<sup>\1</sup>"),
    (r"([‖\]]|\b[A-Za-z])_([A-Za-z0-9]+)\b", r"\1<sub>\2</sub>"),
    (r"\b([ARv])([12ij])\b", r"<i>\1</i><sub>\2</sub>"),
    (r"\bA(?= =)", "<i>A</i>"),
    (r"(?<=\d)([kn])\b", r"<i>\1</i>"),
    (r"\b([A-Za-z])&#39;(?![A-Za-z])", r"\1&prime;"),
    # Signs, and no line that begins with one of percent.
    (r" - ", " &minus; "),
    (r"<sup>-", "<sup>&minus;"),
    (r"(?<![\w)\];])-(?=[\d.])", "&minus;"),
    (r"\b([a-z])-(?=\d)", r"\1&minus;"),
    (r"(?<=\d) %", "\N{NO-BREAK SPACE}%"),
    # What is named by a letter; A and B are chapters, or an article.
    (
        r"(?<!</)(?<!<)(?<!<i>)(?<!&#39;)(?<!\d-)(?<![\w.&#])([b-zC-Z]|hwc?)(?!\w|\.\w|-[a-z])",
        r"<i>\1</i>",
    ),
)
