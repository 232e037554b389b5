"""The versions that a result names."""

import functools
import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """The libraries that numbers depend on."""
    return dict(_versions())


@functools.cache  # every checkpoint names them, and each is read from a file
def _versions() -> dict[str, str]:
    names = ("cnnlab", "jax", "jaxlib", "equinox", "optax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # cnnlab imported from a checkout, not installed
            continue
    return found
