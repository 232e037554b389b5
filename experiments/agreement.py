"""Do all algorithms compute the same convolution? Random ones against float64, and PyTorch."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from experiments._agreement import Line, Peer


@cli("agreement", examples=("", "algorithms=[winograd,fft] geometries=100 peers=[] seed=1"))
def main(cfg: "DictConfig") -> None:
    """Compare values and both gradients; a table, a JSON file, status 1 if a limit is broken."""
    import json
    from pathlib import Path

    import jax

    from cnnlab.errors import CnnlabError
    from cnnlab.train.checkpoint import write_atomically
    from experiments._agreement import markdown

    names, peers = _settings(cfg)
    folder = Path(cfg.output)
    lines = _run(cfg, names, peers)
    about = f"jax {jax.__version__} on {jax.devices()[0].device_kind}, float32, seed {cfg.seed}"
    text = markdown(lines, about)
    result = {"about": about, "seed": cfg.seed, "lines": [line.json() for line in lines]}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "agreement.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(folder / "agreement.md", text.encode())
    print(text, end="")
    broken = [f"{line.algorithm} ({line.which})" for line in lines if not line.holds]
    if broken:
        raise CnnlabError(f"limits broken: {', '.join(dict.fromkeys(broken))}")


def _settings(cfg: "DictConfig") -> "tuple[list[str], dict[str, Peer]]":
    """The algorithms, and the peers that are installed."""
    import os
    import sys

    from cnnlab.config import ConfigError, check_choice
    from cnnlab.ops.algorithms import REGISTRY
    from cnnlab.ops.choice import VARIABLE
    from experiments._agreement import torch_peer

    if os.environ.get(VARIABLE):
        raise ConfigError(f"{VARIABLE}: it forces one algorithm on all of cnnlab; unset it")
    for name in ("geometries", "peer_geometries"):
        if not (isinstance(cfg[name], int) and cfg[name] >= 1):
            raise ConfigError(f"{name}: expected a whole number from 1, got {cfg[name]}")
    if not (isinstance(cfg.seed, int) and cfg.seed >= 0):
        raise ConfigError(f"seed: expected a whole number from 0, got {cfg.seed}")
    chosen = cfg.algorithms
    names = list(REGISTRY) if chosen in (None, "all") else _listed(chosen)
    for name in names:
        check_choice("algorithms", name, list(REGISTRY))
    for peer in _listed(cfg.peers):
        check_choice("peers", peer, ["torch"])
    if "torch" not in _listed(cfg.peers):
        return names, {}
    try:
        return names, {"torch": torch_peer()}
    except ImportError as error:
        print(f"not compared with torch: {error}", file=sys.stderr)
        return names, {}


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(v) for v in value or ()]


def _run(cfg: "DictConfig", names: list[str], peers: "dict[str, Peer]") -> "list[Line]":
    """All comparisons, under a progress bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from experiments._agreement import compare

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    done: list[Line] = []
    with Progress(*columns, console=Console(stderr=True), disable=not cfg.progress) as bar:
        task = bar.add_task("", total=len(names) * cfg.geometries)
        for name in names:
            lines: list[Line] = []
            for lines in compare(name, cfg.geometries, peers, cfg.peer_geometries, cfg.seed):
                worst = max(line.worst / line.limit for line in lines)
                bar.update(task, advance=1, description=f"{name}, {worst:.0%} of the limit")
            done += lines
    return done


if __name__ == "__main__":
    main()
