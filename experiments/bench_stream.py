"""How long do long convolutions take position by position, beside the plain sum."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig


@cli(
    "bench_stream",
    rehearsal=lambda _: _lengths,
    examples=("", "longest=8192 channels=16"),
)
def main(cfg: "DictConfig") -> None:
    """Run sequences of growing length through each route, taking turns; a table and a figure."""
    import json

    from cnnlab.bench import streaming
    from cnnlab.bench.measurements import machine
    from cnnlab.config import folder_to_write
    from cnnlab.console import progress
    from cnnlab.files import write_atomically

    folder, here, cases = folder_to_write(cfg), machine(), {}
    for _, n in progress(_lengths(cfg), show=cfg.progress):
        cases[n] = streaming.measure(n, cfg.channels, float(cfg.seconds), cfg.seed)
    text = streaming.markdown(here, cases, cfg.channels)
    write_atomically(folder / "bench_stream.md", text.encode())
    record = {"machine": here, "channels": cfg.channels, "cases": cases}
    write_atomically(folder / "bench_stream.json", f"{json.dumps(record, indent=1)}\n".encode())
    print(text, end="")
    print(streaming.figure(cases, folder / "bench_stream.png"))


def _lengths(cfg: "DictConfig") -> dict[str, int]:
    """Powers of two."""
    return {f"{1 << i:,}": 1 << i for i in range(10, cfg.longest.bit_length())}


if __name__ == "__main__":
    main()
