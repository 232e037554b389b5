"""What do convolutions run on here, and why: versions, engine, threads, tables, variables."""

from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import another

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from collections.abc import Iterator

    from omegaconf import DictConfig

# What changes which code runs, or on how many threads.
VARIABLES = ("CNNLAB_CONV", "CNNLAB_NATIVE", "CXX", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
VARIABLES += ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")


@cli("doctor")
def main(cfg: "DictConfig") -> None:
    """Print what convolutions run on here, and why."""
    for name, value in report():
        print(f"{name + ':':<16} {value}")


def report() -> "Iterator[tuple[str, str]]":
    """The lines, as names and values."""
    import os
    import platform

    import jax

    from cnnlab.versions import versions

    yield "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    kinds = [f"{device.platform} ({device.device_kind})" for device in jax.devices()]
    yield "devices", ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    yield from _engine()
    yield from _tables(jax.default_backend())
    values = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    yield "variables", ", ".join(f"{name}={value}" for name, value in values.items()) or "none set"


def _engine() -> "Iterator[tuple[str, str]]":
    from cnnlab.ops.native import ENGINE
    from cnnlab.ops.native.build import BuildError, find_compiler, find_onednn, library_file

    reason = ENGINE.refusal()
    yield "native engine", "in use" if reason is None else f"not in use: {reason}"
    for name, find in (("oneDNN", find_onednn), ("compiler", find_compiler)):
        try:
            found = find()
        except BuildError as error:
            yield name, str(error)
            continue
        yield name, f"{found.version}, {found.library}" if name == "oneDNN" else ", ".join(found)
    if reason is None:
        yield "library", str(library_file())
        yield "instructions", ENGINE.isa()
        yield "threads", f"{ENGINE.threads()} at most in a call, shared by calls at one time"


def _tables(platform: str) -> "Iterator[tuple[str, str]]":
    from cnnlab.ops import table

    machine = table.machine(platform)
    yield "shipped table", f"{len(table.shipped(machine))} convolutions measured for {machine}"
    file = table.user_file(platform)
    own = f"{file}" if file.is_file() else f"none: {another('tune')} measures one"
    yield "your table", own


if __name__ == "__main__":
    main()
