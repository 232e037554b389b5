"""Which modules are Python's own, cnnlab's, or those that cnnlab is made of."""

import sys

_TEXT = """
absl array_record beartype chex cnnlab equinox etils experiments filelock flatbuffers grain hydra
hydra_plugins importlib_resources jax jaxlib jaxtyping jinja2 matplotlib ml_dtypes mlflow mnist1d
numpy omegaconf opt_einsum optax PIL pip pytest rich safetensors scipy setuptools sklearn
tensorboardX tensorflow tensorflow_datasets typing_extensions wadler_lindig wandb yaml
"""
LIBRARIES = frozenset(_TEXT.split())


def is_library(name: str) -> bool:
    """Whether a top-level module is one of them, Python's own included."""
    return name in LIBRARIES or name in sys.stdlib_module_names or name in ("builtins", "__main__")
