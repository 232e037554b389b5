"""Which algorithms a command is asked to compare."""

import os
from collections.abc import Sequence

from cnnlab.config import ConfigError, read
from cnnlab.ops import REGISTRY
from cnnlab.ops.choice import VARIABLE


def asked_algorithms(value: str | Sequence[str] | None) -> list[str] | None:
    """The names that the config key `algorithms` lists; None where it is null or `all`.

    **Raises:** `ConfigError`: no such algorithm, or the environment forces one on all of cnnlab.
    """
    if os.environ.get(VARIABLE):
        raise ConfigError(
            f"{VARIABLE}: it forces one algorithm on all of cnnlab; unset it to compare"
        )
    if value in (None, "all"):
        return None
    names = [value] if isinstance(value, str) else list(value)
    return read(f"some of {', '.join(REGISTRY)}", names, "algorithms")
