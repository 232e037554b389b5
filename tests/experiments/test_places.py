"""Where a command can't write what it is for, it is refused in one line before it works."""

import pytest
from commands import SMALLER

WRITING = [
    ("agreement", "output", []),
    ("bench_conv", "output", []),
    ("bench_data", "output", []),
    ("bench_long", "output", []),
    ("bench_models", "output", []),
    ("bench_step", "output", []),
    ("bench_stream", "output", []),
    ("book", "output", []),
    ("book", "output", ["ask=false", "keep=experiments/results/book"]),
    ("book", "keep", ["only=[toeplitz]", "settings.toeplitz=['geometries=1']"]),
    ("compare", "output", ["runs=nowhere"]),
    ("export", "path", ["run=nowhere"]),
    ("inspect", "output", ["data=digits"]),
    ("toeplitz", "output", []),
    ("train", "output", SMALLER),
]


@pytest.mark.parametrize(("module", "key", "given"), WRITING)
def test_no_work_begins(module, key, given, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    out, err = call(module, *given, f"{key}=file/below", status=2)
    assert out == ""
    said = err.splitlines()[-1]
    assert said.startswith(f"error: {key}: expected a f") and "file/below" in said
    assert said.endswith("(Not a directory)")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_only_read_need_not_be_open(tmp_path, call):
    """`keep=` of a book that asks nothing."""
    (tmp_path / "file").touch()
    more = ["ask=false", "only=[toeplitz]", f"output={tmp_path}", "progress=false"]
    _, err = call("book", f"keep={tmp_path / 'file' / 'below'}", *more, status=1)
    assert err.count("\n") == 1 and "1 of 1 questions have no answer: toeplitz: " in err
    assert "Not a directory" in err
    assert not (tmp_path / "fast.html").exists()  # a page of nothing
