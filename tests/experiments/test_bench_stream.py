"""The benchmark of streams: what it checks and writes. Nothing here asserts a speed."""

import json
import sys

from cnnlab.bench import streaming
from experiments import bench_stream


def test_all_routes_agree_and_are_drawn(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench_stream, "_lengths", lambda cfg: {"64": 64})
    values = ["channels=3", "seconds=0.001", "progress=false", f"output={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["bench_stream", *values])
    bench_stream.main()
    said = capsys.readouterr().out
    case = json.loads((tmp_path / "bench_stream.json").read_text())["cases"]["64"]
    assert list(case) == list(streaming.ROUTES)
    assert all(row["error"] < 1e-5 and row["seconds"] > 0 for row in case.values())
    assert said.startswith((tmp_path / "bench_stream.md").read_text())
    assert (tmp_path / "bench_stream.png").stat().st_size > 10_000
