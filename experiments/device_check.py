"""Is cnnlab right and fast on this device? One page about it.

    python -m experiments.device_check [seconds=220] [data=FOLDER] [parts=curves,grid] [small=true]

It needs jax, equinox, optax and numpy, and no other library: neither Hydra nor TFDS, and any
jax that cnnlab imports with; PyTorch is measured where it is there. `data` is a folder with
Fashion-MNIST's four IDX files. The page is `<output>/device-<kind>.md`, written anew after every
part, so that an end that comes early leaves what was found; beside it is the part `tuning`'s table
of the fastest algorithms, as the package's own are.
"""

import importlib
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from cnnlab.console import program, unread
from cnnlab.errors import CnnlabError

_HERE = Path(__file__).parent
# Part -> title, module of `experiments.device`, share of the time.
PARTS = {
    "algorithms": ("Values and gradients against float64", "agreement.algorithms", 0.14),
    "precision": ("What float32 is here", "agreement.precision", 0.05),
    "layers": ("Layers and networks against float64", "layers.part", 0.1),
    "curves": ("30 steps by every runtime", "training.curves", 0.1),
    "train": ("The run of make train", "training.fashion", 0.08),
    "vgg": ("The run of vgg_fashion", "training.vgg", 0.1),
    "steps": ("Training steps", "speed.steps", 0.1),
    "grid": ("Convolutions", "speed.grid", 0.1),
    "tuning": ("The fastest algorithms", "tuning.part", 0.08),
    "long": ("Long convolutions", "speed.long", 0.07),
    "vgg_bfloat16": ("vgg_fashion in bfloat16", "training.vgg_bfloat16", 0.08),
    "memory": ("Memory", "speed.memory", 0.0),  # takes none
}
PACKAGES = ["jax", "jaxlib", "equinox", "optax", "numpy", "torch", "hydra-core"]
DEFAULTS = {
    "seconds": "220",
    # In a clone its pages are kept with it; elsewhere they are an output like others.
    "output": "experiments/results" if _HERE.parent == Path.cwd() else "outputs/device_check",
    "parts": ",".join(PARTS),
    "data": "",
    "small": "false",
}


def check(
    seconds: float, output: Path, parts: Sequence[str] = tuple(PARTS), data: str | None = None,
    small: bool = False,
) -> Path:  # fmt: skip
    """Run the parts, each in its share of `seconds`, and write the page.

    A part that fails is one line of the page, and the others go on; what one leaves of its time,
    those after it have. **Returns:** the page's path.
    """
    import jax

    from experiments.device import Job, kind, one_line

    begun = time.monotonic()
    page = output / f"device-{re.sub('[^a-z0-9]+', '-', kind().lower()).strip('-')}.md"
    lines = [f"# {kind()}", "", *_about(), ""]
    shares = {name: PARTS[name][2] for name in parts}
    _write(page, lines, shares)  # before any work, where it can't be
    for name in parts:
        title, path, share = PARTS[name]
        module, _, function = path.rpartition(".")
        start = time.monotonic()
        left = seconds - (start - begun)
        until = start + left * share / (sum(shares.values()) or 1)
        del shares[name]
        lines += [f"## {title}", ""]
        print(f"{title} ...", file=sys.stderr, flush=True)
        try:
            if left <= 0 < share:
                raise TimeoutError("no time left")
            run = getattr(importlib.import_module(f"experiments.device.{module}"), function)
            lines += run(Job(until, data, small, page))
        except Exception as error:  # a finding like any other
            lines += [f"**failed**: {one_line(error)}"]
        finally:
            jax.clear_caches()
        lines += ["", f"{time.monotonic() - start:.0f} s", ""]
        _write(page, lines, shares)
    return page


def _about() -> list[str]:
    """What the numbers hold for."""
    import jax

    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    devices = f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return [f"- {devices}, {machine}", f"- {', '.join(found)}"]


def _write(page: Path, lines: Sequence[str], to_come: Iterable[str]) -> None:
    """The page so far, and which parts it has not."""
    from cnnlab.files import write_atomically

    titles = ", ".join(PARTS[name][0] for name in to_come)
    missing = [f"Not measured yet: {titles}.", ""] if titles else []
    write_atomically(page, "\n".join([*lines, *missing]).encode())


def _settings(arguments: Sequence[str]) -> dict:
    """The settings of a command line; ValueError in one line for what is not one."""
    given = dict(DEFAULTS)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in given or not equals:
            raise ValueError(f"{argument}: expected one of {', '.join(f'{k}=' for k in given)}")
        given[key] = value
    parts = given["parts"].strip("[]").split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"parts: expected some of {', '.join(PARTS)}, got {', '.join(unknown)}")
    try:
        seconds = float(given["seconds"])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise ValueError(f"seconds: expected a number above 0 to 86400, got {given['seconds']}")
    if given["small"] not in ("true", "false"):
        raise ValueError(f"small: expected true or false, got {given['small']}")
    if given["data"] and not Path(given["data"]).expanduser().is_dir():
        raise ValueError(f"data: expected a folder, got {given['data']}")
    return {
        "seconds": seconds,
        "output": Path(given["output"]).expanduser(),
        "parts": parts,
        "data": given["data"] or None,
        "small": given["small"] == "true",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        return _print(__doc__.replace("python -m experiments.device_check", program()))
    try:
        settings = _settings(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return _print(check(**settings))
    except CnnlabError as error:
        print(f"error: output: {error}", file=sys.stderr)
        return 1


def _print(text: object) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        return unread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
