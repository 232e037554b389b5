"""Where a command writes, tried before it begins its work."""

from pathlib import Path

from omegaconf import DictConfig

from cnnlab.errors import ConfigError
from cnnlab.files import try_writing


def folder_to_write(cfg: DictConfig, key: str = "output") -> Path:
    """The folder that a key of the config names; it is not made yet.

    **Raises:** `ConfigError`: nothing can be written there.
    """
    folder = Path(cfg[key])
    _try(folder / "file", f"{key}: expected a folder to write in, got {folder}")
    return folder


def file_to_write(cfg: DictConfig, key: str) -> Path:
    """The file that a key of the config names.

    **Raises:** `ConfigError`: it can't be written.
    """
    file = Path(cfg[key])
    _try(file, f"{key}: expected a file to write, got {file}")
    return file


def _try(path: Path, expected: str) -> None:
    try:
        try_writing(path)
    except OSError as error:
        raise ConfigError(f"{expected} ({error.strerror})") from error
