"""How fast is a whole training step: cnnlab, Equinox as one would write it, PyTorch."""

from typing import TYPE_CHECKING, Any

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.bench.steps import Job


@cli(
    "bench_step",
    rehearsal=lambda _: _jobs,
    examples=("", "precision=[bfloat16]", "plan=[16,M,32] shape=[32,32,3] peers=[]"),
)
def main(cfg: "DictConfig") -> None:
    """Check that the first losses agree, then time the steps side by side; a table and a JSON."""
    import json
    import sys

    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.measurements import machine
    from cnnlab.config import folder_to_write
    from cnnlab.files import write_atomically

    folder, jobs, peers = folder_to_write(cfg), _jobs(cfg), list(cfg.peers)
    if "torch" in peers and (reason := torch_missing()):
        peers.remove("torch")
        print(f"no rows of torch: {reason}", file=sys.stderr)
    results = {job.precision: _measure(job, peers, cfg.seconds) for job in jobs}
    plan = ", ".join(map(str, cfg.plan))
    head = f"Training steps of [{plan}], batch {cfg.batch_size} of {list(cfg.shape)}, by images/s\n"
    text = head + "".join(_table(name, rows, cfg.batch_size) for name, rows in results.items())
    record = {"machine": machine(), "config": _plain(cfg), "results": results}
    write_atomically(folder / "bench_step.md", text.encode())
    write_atomically(folder / "bench_step.json", (json.dumps(record, indent=1) + "\n").encode())
    print(text + f"\n{folder / 'bench_step.md'}, {folder / 'bench_step.json'}")


def _plain(cfg: "DictConfig") -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(cfg, resolve=True)


def _jobs(cfg: "DictConfig") -> "list[Job]":
    from cnnlab.bench.steps import Job
    from cnnlab.config import ConfigError
    from cnnlab.models.plan import parse_plan

    try:
        parse_plan(list(cfg.plan))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    shape = tuple(cfg.shape)
    if any(n % 2 ** list(cfg.plan).count("M") for n in shape[:2]):
        raise ConfigError(f"shape: {list(shape)[:2]} can't be halved evenly by every M of the plan")
    plan = tuple(cfg.plan)
    return [Job(plan, shape, cfg.batch_size, precision, cfg.seed) for precision in cfg.precision]


def _measure(job: "Job", peers: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """By contender: its first two losses, and where those agree its median seconds and calls."""
    from cnnlab.bench.steps import contenders
    from cnnlab.bench.timing import interleaved, median

    steps = contenders(job, peers)
    rows: dict[str, dict[str, Any]] = {}
    for name, run in steps.items():
        try:
            rows[name] = {"losses": [float(run()), float(run())]}
        except Exception as problem:  # its own failure is a result, and the others go on
            rows[name] = {"failed": " ".join(f"{type(problem).__name__}: {problem}".split())[:200]}
    # The second loss depends on all gradients of the first step.
    limit = 1e-4 if job.precision == "float32" else 2e-2
    expected = rows["cnnlab"].get("losses", ())
    for row in rows.values():
        pairs = zip(row.get("losses", ()), expected, strict=False)
        row["agrees"] = "losses" in row and all(abs(a - b) <= limit * abs(b) for a, b in pairs)
    good = {name: run for name, run in steps.items() if rows[name]["agrees"]}
    for name, times in interleaved(good, seconds=seconds, least=5, warm=True).items():
        rows[name] |= {"seconds": median(times), "fastest": min(times), "calls": len(times)}
    return rows


def _table(precision: str, rows: dict[str, dict[str, Any]], batch_size: int) -> str:
    best = [row["seconds"] for name, row in rows.items() if "torch" in name and "seconds" in row]
    lines = [f"\n| {precision} | images/s | ms | beside PyTorch's best |", "|---|--:|--:|--:|"]
    for name, row in rows.items():
        if "seconds" not in row:
            reason = row.get("failed", f"other losses: {row.get('losses')}")
            lines.append(f"| {name} | - | {reason} | - |")
            continue
        beside = f"{min(best) / row['seconds']:.2f}x" if best else "-"
        speed = batch_size / row["seconds"]
        lines.append(f"| {name} | {speed:,.0f} | {1e3 * row['seconds']:.0f} | {beside} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
