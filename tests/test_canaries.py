"""Reproducers of the jaxlib bugs that pyproject.toml's version bounds keep out.

jax 0.10.2 fails all of them, 0.11.* some. If one fails, the installed jax must not be used.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest


@pytest.mark.parametrize(("x64", "n"), [(False, 32_769), (True, 16_385)])
def test_jitted_batched_matrix_vector_product_then_sum(x64, n):
    """jax-ml/jax#39103: the last row came out wrong, silently."""
    with jax.enable_x64(x64):
        i = jnp.arange(n, dtype=float)
        rows = jnp.stack((i, jnp.zeros_like(i), jnp.zeros_like(i)), axis=1)
        matrix = jnp.eye(3, dtype=rows.dtype)
        norms = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(rows)
        assert rows.dtype == (jnp.float64 if x64 else jnp.float32)
        assert float(norms[-1]) == (n - 1) ** 2


CRASHES = {
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
PRINTS = {"rank-7 product then sum": "6144.0", "broadcast into rank 8 then sum": "1.7918"}


@pytest.mark.parametrize("name", CRASHES)
def test_product_then_sum_of_high_rank_does_not_crash(name):
    """In a process of its own: the failure is a dead process."""
    command = [sys.executable, "-c", CRASHES[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, PRINTS[name]), done.stderr
