"""An answer of a question as the book gets it, made up."""

CLAIM = {
    "name": "a", "source": "A 1.1", "statement": "1 < 2 & so on", "refuted_by": "2 <= 1",
    "instead": None, "verdict": "holds", "evidence": "0 of 3 differ", "counted": "0 of 3 differ",
    "quantities": [],
}  # fmt: skip
QUANTITY = {
    "what": "points", "mean": 1.0, "deviation": 0.4, "low": 0.5, "high": 1.7, "n": 4,
    "freedom": 3, "least": 0.0, "most": None, "needed": None,
}  # fmt: skip
ANSWER = {
    "question": "toeplitz",
    "title": "Is it <so>?",
    "answer": "It is, of s^2 c' weights.",
    "note": "A note.",
    "config": {"scale": "fast"},
    "learnt": {"verdict": "holds", "evidence": "all beat 80", "quantities": []},
    "claims": [
        CLAIM,
        CLAIM
        | {"name": "printed", "statement": "as printed", "verdict": "fails", "instead": "right"},
        CLAIM | {"name": "wrong", "statement": "not at all", "verdict": "fails"},
        CLAIM
        | {
            "name": "right", "source": "B 2", "statement": "with W_ij", "counted": "0 of 7 move",
            "quantities": [QUANTITY, QUANTITY | {"what": "all", "low": None, "high": None}],
        },
    ],
    "figures": {"one": "What one sees."},
    "seconds": 90.0,
    "device": "1 x cpu",
    "versions": {"jax": "1.2"},
    "tables": [{"title": "T", "header": ["x"], "rows": [[1], ["<b>"]]}],
}  # fmt: skip
