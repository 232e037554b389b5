"""Reach of a layer against loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import ops
from cnnlab.analysis import locality


def test_distances_by_a_loop():
    found = locality.distances((3, 2), (5, 4), stride=(2, 1), centre=(0.5, -1.0))
    for o in itertools.product(range(3), range(2)):
        for i in itertools.product(range(5), range(4)):
            rows, columns = 0.5 + 2 * o[0] - i[0], -1 + o[1] - i[1]
            assert found[o + i] == max(abs(rows), abs(columns))
    assert locality.distances((4,), (4,))[1].tolist() == [1, 0, 1, 2]


def test_a_convolution_reaches_its_radius():
    kernel = jax.device_put(np.random.default_rng(0).uniform(1, 2, (3, 3, 2, 1)).astype(np.float32))
    [x] = locality.random_inputs((6, 5, 2), 1, 0)
    strength = locality.strength(lambda x: ops.conv(x, kernel, algorithm="lax"), [x])
    assert strength.shape == (6, 5, 6, 5)
    # The middle pixel sees the kernel's weights, in the channel where they are larger.
    np.testing.assert_allclose(strength[2, 2, 1:4, 1:4], np.max(kernel, axis=(2, 3)), rtol=1e-6)
    distances = locality.distances((6, 5), (6, 5))
    support = locality.support(strength)
    assert (support == (distances <= 1)).all()
    assert locality.radius(support, distances) == 1
    profile = locality.profile(strength, distances)
    assert list(profile) == [0, 1, 2, 3, 4, 5]
    assert max(profile[0.0], profile[1.0]) == 1 and profile[2.0] == 0


def test_a_maximum_needs_many_inputs():
    pool = lambda x: ops.max_pool(x, (2,))
    xs = locality.random_inputs((6, 1), 32, 1)
    support = locality.support(locality.strength(pool, xs))
    assert support.tolist() == [[i // 2 == o for i in range(6)] for o in range(3)]
    assert locality.support(locality.strength(pool, xs[:1])).sum() == 3


def test_nothing_seen_is_radius_0():
    nothing = locality.support(locality.strength(lambda x: 0 * x, [jnp.ones((3, 1))]))
    assert locality.radius(nothing, locality.distances((3,), (3,))) == 0
    with pytest.raises(ValueError, match=r"^xs: "):
        locality.strength(lambda x: x, [])
