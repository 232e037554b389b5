"""Live bytes of functions: beside a plain loop over random programs, by hand, and as compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab import nn, ops
from cnnlab.analysis import cost, memory, receptive_field, summary


@jax.custom_vjp
def bent(x):
    return jnp.sin(x)


bent.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * g * x,))


class Program:
    """Random operations on vectors, some in calls: a list of what each takes and makes."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.arguments = [int(n) for n in rng.integers(1, 50, 2)]
        self.sizes, self.operations = list(self.arguments), []
        for _ in range(rng.integers(1, 30)):
            kind = str(rng.choice(["sine", "half", "join", "view"]))
            takes = [int(n) for n in rng.integers(0, len(self.sizes), 1 + (kind == "join"))]
            size = sum(self.sizes[i] for i in takes)
            self.sizes.append(-(-size // 2) if kind == "half" else size)
            self.operations.append((kind, takes, int(rng.integers(5))))
        self.results = [int(i) for i in rng.integers(2, len(self.sizes), rng.integers(1, 3))]

    def __call__(self, *vectors):
        values = list(vectors)
        for kind, takes, how in self.operations:
            apply = {
                "sine": jnp.sin,
                "half": lambda x: lax.slice(x, [0], [-(-x.size // 2)]),
                "join": lambda *xs: lax.concatenate(xs, 0),
                "view": lambda x: jnp.reshape(jnp.reshape(x, (1, -1)), -1),
            }[kind]
            if kind == "sine" and how == 4:
                apply = bent
            calls = [apply, jax.jit(apply), jax.checkpoint(apply), jax.jit(jax.jit(apply)), apply]
            values.append(calls[how](*(values[i] for i in takes)))
        return [values[i] for i in self.results]

    def most(self):
        """Bytes at each operation: all that exists by then and is still needed."""
        same = list(range(len(self.sizes)))
        for i, (kind, takes, _) in enumerate(self.operations, 2):
            same[i] = same[takes[0]] if kind == "view" else i
        kept = {same[i] for i in self.results}
        made = {i: o for i, o in enumerate(self.operations, 2) if same[i] == i}
        uses = {i: {same[j] for j in takes} for i, (_, takes, _) in made.items()}
        for _ in made:  # what is needed by what is needed
            kept |= {j for i in kept if i in uses for j in uses[i]}
        results, peak = {same[i] for i in self.results}, 0
        for now in sorted(kept):
            later = {j for i in kept if i in uses and i >= now for j in uses[i]} | results
            live = {i for i in kept if 2 <= i <= now and (i in later or i == now)}
            peak = max(peak, sum(self.sizes[i] for i in live))
        return 4 * (sum(self.arguments) + peak)


def test_random_programs():
    for seed in range(100):
        program = Program(seed)
        vectors = [jax.ShapeDtypeStruct((n,), jnp.float32) for n in program.arguments]
        found = memory(program, *vectors)
        assert found.peak == program.most(), seed
        assert found.unknown == ()


N = 25 * 4
X = jnp.ones((5, 5))


def dearer(x):
    return jnp.concatenate([x, x, x])[:5]


def chain(x):
    return jnp.cos(jnp.sin(jnp.exp(x)))


@pytest.mark.parametrize(
    ("function", "beside"),
    [
        (lambda x: x, 0),
        (lambda x: (x, x), 0),
        (lambda x: jnp.sin(x), N),
        (chain, 2 * N),
        (jax.jit(chain), 2 * N),
        (lambda x: (jnp.sin(x).T.reshape(-1), 1.0)[0], 2 * N),
        (lambda x: jnp.sin(x) @ jnp.cos(x), 3 * N),
        # The carry before and after, four turns' parts and results; and one turn's.
        (lambda x: lax.scan(lambda c, r: (jnp.sin(c), jnp.cos(r)), jnp.sin(x), jnp.ones((4, 2))),
         N + N + 2 * 4 * 8 + N + 8 + 8),
        (lambda x: lax.while_loop(lambda x: x[0, 0] > 0, chain, x), N + 2 * N),
        (lambda x: lax.cond(x[0, 0] > 2, chain, dearer, x), 4 * N + 4),
        (jax.shard_map(chain, mesh=jax.make_mesh((2,), "d"), in_specs=jax.P(), out_specs=jax.P()),
         4 * N),
    ],
)  # fmt: skip
def test_by_hand(function, beside):
    found = memory(function, X)
    assert found.unknown == ()
    assert found.peak - found.arguments == beside


def test_constants_are_arguments():
    """Once, however often they are used, in a call, too."""
    eye = np.eye(5, dtype=np.float32)
    product = jax.jit(lambda x: jnp.asarray(eye) @ x)
    assert memory(lambda x: product(product(x)), X).arguments == 2 * N


def test_what_is_computed_again_is_not_kept():
    deep = lambda block: lambda x: block(block(block(x))).sum()
    block = lambda x: chain(chain(x))
    kept, again = (memory(jax.grad(deep(f)), X).peak for f in (block, jax.checkpoint(block)))
    assert again < 0.7 * kept


def test_what_is_not_known_is_named():
    like = jax.ShapeDtypeStruct(X.shape, X.dtype)
    assert memory(lambda x: x.at[0].add(1.0), X).unknown == ()
    unseen = lambda x: lax.map(lambda x: jax.pure_callback(np.sin, like, x), x[None])
    found = memory(unseen, X)
    assert found.unknown == ("pure_callback",)
    assert str(found).endswith("without what is in pure_callback")


def test_as_compiled():
    """Arguments and results are what XLA says; it needs no more than is live unfused, and of
    products of matrices, which it can't fuse, no less."""
    key = jax.random.key(0)
    layers = [nn.Conv2d(3, 8, 3, algorithm=ops.REFERENCE, key=key), nn.MaxPool2d(2)]
    net = lambda x: jax.nn.relu(layers[1](layers[0](x))).mean((1, 2))
    a = jnp.ones((64, 64))
    products = lambda a: (a @ a.T @ a) @ (a @ a)
    for function, x, least in (
        (net, jnp.ones((4, 16, 16, 3)), 0.1),
        (jax.grad(lambda x: jnp.square(net(x)).sum()), jnp.ones((4, 16, 16, 3)), 0.1),
        (products, a, 0.6),
        (chain, a, 0.0),
    ):
        found = memory(function, x)
        compiled = jax.jit(function).lower(x).compile().memory_analysis()
        assert found.results == compiled.output_size_in_bytes
        beside = found.peak - found.arguments - found.results
        assert least * beside <= compiled.temp_size_in_bytes <= beside + 1024  # aligned


def test_the_summary_of_a_function():
    text = str(summary(chain, jnp.ones((512, 512))))
    assert text.endswith("3.0 MiB live at most, unfused (arguments 1.0 MiB, results 1.0 MiB)")


@pytest.mark.parametrize("question", [memory, cost, receptive_field])
def test_shapes_that_no_array_has_are_refused(question):
    with pytest.raises(ValueError, match=r"^inputs: expected shapes of sizes >= 0, got \(2, -3, 4"):
        question(jnp.tanh, jax.ShapeDtypeStruct((2, -3, 4), jnp.float32))
