"""Reproducers of the jaxlib bugs that pyproject.toml's version bounds keep out.

jax 0.10.2 fails all of them, 0.11.* some. If one fails, the installed jax must not be used.
"""

import os
import subprocess
import sys

import pytest

_NORMS = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", {x64})
i = jnp.arange({n}, dtype=float)
rows = jnp.stack((i, jnp.zeros_like(i), jnp.zeros_like(i)), axis=1)
matrix = jnp.eye(3, dtype=rows.dtype)
norms = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(rows)
print(norms.dtype, float(norms[-1]))
"""


PROGRAMS = {
    # jax-ml/jax#39103: the last row came out wrong, silently.
    "batched matrix-vector product then sum, float32": _NORMS.format(x64=False, n=32_769),
    "batched matrix-vector product then sum, float64": _NORMS.format(x64=True, n=16_385),
    # jax-ml/jax#40412: segmentation fault.
    "rank-7 product then sum": """
import jax, jax.numpy as jnp
shape = (3, 1, 2, 2, 8, 8, 8)
y = jax.jit(lambda a, b: jnp.sum(a * b, axis=3))(jnp.ones(shape), jnp.ones(shape))
print(float(y.sum()))
""",
    # jax-ml/jax#39257: segmentation fault on some processors, an endless loop on others.
    "broadcast into rank 8 then sum": """
import jax, jax.numpy as jnp
f = lambda a, b: jnp.log(jnp.sum(a[..., None, None, None, None, None] * b, axis=2))
y = jax.jit(f)(jnp.ones((10, 4, 6)), jnp.ones((10, 4, 6, 9, 9, 9, 9, 9)))
print(round(float(y[0, 0, 0, 0, 0, 0, 0]), 4))
""",
}
PRINTS = {
    "batched matrix-vector product then sum, float32": f"float32 {float((32_769 - 1) ** 2)}",
    "batched matrix-vector product then sum, float64": f"float64 {float((16_385 - 1) ** 2)}",
    "rank-7 product then sum": "6144.0",
    "broadcast into rank 8 then sum": "1.7918",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_installed_jax_is_a_sound_one(name):
    """In a process of its own, which may die, and with XLA's own settings."""
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", PROGRAMS[name]]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, PRINTS[name]), done.stderr
