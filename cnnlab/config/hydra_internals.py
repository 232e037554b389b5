"""What cnnlab needs of Hydra that Hydra does not export: the one module that touches its insides.

Where a new Hydra breaks something of it, here is what to mend, and nothing else.

- `get_args_parser`: the flags of its command line.
- `create_config_search_path`, `ConfigRepository`, `ConfigLoaderImpl`: where configs are looked for,
  how files are read, and what composes them, without Hydra's global state.
"""

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import create_config_search_path, get_args_parser

__all__ = ["ConfigLoaderImpl", "ConfigRepository", "create_config_search_path", "get_args_parser"]
