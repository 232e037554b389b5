"""How many pictures a second are read and augmented: cnnlab, and torchvision under PyTorch."""

from typing import TYPE_CHECKING, Any

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig


@cli("bench_data", examples=("", "transforms=[] side=2000 pictures=200"))
def main(cfg: "DictConfig") -> None:
    """Read the same JPEG files in turns, timed by the processor; a table and a JSON."""
    import json
    import sys
    import tempfile
    from pathlib import Path

    from omegaconf import OmegaConf

    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.loading import make_pictures, measure
    from cnnlab.bench.measurements import machine
    from cnnlab.config import folder_to_write
    from cnnlab.errors import CnnlabError
    from cnnlab.files import write_atomically

    place, peers = folder_to_write(cfg), list(cfg.peers)
    if peers and (reason := torch_missing()):
        peers = []
        print(f"no rows of torchvision: {reason}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_pictures(Path(folder), cfg.pictures, cfg.side, cfg.seed)
        try:
            seconds = measure(
                paths,
                transforms=["random_resized_crop", *cfg.transforms],
                size=cfg.size,
                batch_size=cfg.batch_size,
                peers=peers,
                rounds=cfg.rounds,
            )
        except ImportError as problem:
            raise CnnlabError(f"peers: {problem}; peers=[] goes without") from problem
    record: dict[str, Any] = {
        "machine": machine(("torch", "torchvision", "pillow")),
        "config": OmegaConf.to_container(cfg, resolve=True),
        "seconds": seconds,
    }
    text = _table(cfg, seconds)
    write_atomically(place / "bench_data.md", text.encode())
    write_atomically(place / "bench_data.json", (json.dumps(record, indent=1) + "\n").encode())
    print(f"{text}\n{place / 'bench_data.md'}, {place / 'bench_data.json'}")


def _table(cfg: "DictConfig", seconds: dict[str, list[float]]) -> str:
    rates = {name: cfg.pictures / sum(times) for name, times in seconds.items()}
    best = max((rate for name, rate in rates.items() if name != "cnnlab"), default=None)
    what = ", ".join(["random_resized_crop", *cfg.transforms])
    lines = [
        f"{cfg.pictures:,} JPEG files of about {cfg.side} x {cfg.side} to {cfg.size} x {cfg.size},"
        f" {what}\n",
        "| | pictures/s and core | beside torchvision's best |",
        "|---|--:|--:|",
    ]
    for name, rate in rates.items():
        lines.append(f"| {name} | {rate:,.0f} | {f'{rate / best:.2f}x' if best else '-'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
