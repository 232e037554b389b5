"""A few examples at a time."""

import jax.numpy as jnp
import numpy as np

from cnnlab.ops.algorithms import tiles


def test_tiles_are_the_whole():
    """Their results in the order of the examples, and their sum, for any number of them."""
    assert [tiles.tile_size(12, each, 100) for each in (1, 100, 51, 25, 20, 1000)] == [
        12, 1, 1, 4, 4, 1
    ]  # fmt: skip
    assert [tiles.tile_size(n, 40, 100) for n in (1, 2, 7, 0)] == [1, 2, 1, tiles.tile_size(0, 40)]
    f = lambda a, b: a * a + b[:, None]
    for batch in (1, 6, 7):
        a, b = np.arange(3.0 * batch).reshape(batch, 3), np.arange(1.0 * batch) ** 2
        for tile in (n for n in range(1, batch + 1) if batch % n == 0):
            whole = tiles.map_tiles(f, (jnp.asarray(a), jnp.asarray(b)), tile)
            np.testing.assert_array_equal(whole, f(a, b))
            total = tiles.sum_tiles(
                lambda a, b: f(a, b).sum(0), (jnp.asarray(a), jnp.asarray(b)), tile
            )
            np.testing.assert_array_equal(total, f(a, b).sum(0))
