"""A result is keyed by what made it: 100 models, data sets, losses, rules and codes, 100 keys."""

import collections
import dataclasses
import functools
import io
import itertools
import subprocess
import sys
import threading
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from cnnlab import nn, ops
from cnnlab.code import files_digest
from cnnlab.config import ConfigError
from cnnlab.config.own import Own
from cnnlab.content import Unknowable, digest
from cnnlab.data import SourceSplit, from_arrays

from .own_parts import Net, arrays, brier

SCALE = 1.0
TABLE = {"scale": 1.0, "shift": [0.0]}


class Slower(Net):
    def __call__(self, x):
        return self.act(ops.conv(x, self.kernel)).max((-3, -2)) @ self.linear


def scaled(logits, target):
    return SCALE * brier(logits, target)


def tabled(logits, target):
    return TABLE["scale"] * brier(logits, target)


def chosen(logits, target, power=2, *, axis=-1):
    return jnp.abs(jax.nn.softmax(logits) - target).sum(axis) ** power


def power(n):
    return lambda logits, target: (jnp.abs(logits - target) ** n).sum(-1)


def nested(shift):
    def outer(logits, target):
        inner = lambda x: x + shift
        return inner(brier(logits, target))

    return outer


class Weighted:
    """A loss with weights; `total` is one as a bound method."""

    factor = 1

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, logits, target):
        return self.factor * (self.weights * jnp.square(logits - target)).sum(-1)

    def total(self, logits, target):
        return self(logits, target) + 1


class Heavier(Weighted):
    factor = 2


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k

    def __call__(self, logits, target):
        return self.k * brier(logits, target)


@dataclasses.dataclass(frozen=True)
class Settings:
    k: float = 1.0
    more: list = dataclasses.field(default_factory=list)

    def __call__(self, logits, target):
        return self.k * brier(logits, target)


def wrapped(function, k):
    @functools.wraps(function)
    def wrapper(logits, target):
        return k * function(logits, target)

    return wrapper


@jax.custom_vjp
def bent(x):
    return x


bent.defvjp(lambda x: (x, None), lambda _, g: (2 * g,))


def models():
    net = Net()
    yield from (net, Net(1), Net(width=4), Net(size=5), Slower(), Net(size=1))
    for act in (jax.nn.gelu, jnp.tanh, lambda x: x, lambda x: -x, lambda x: x * SCALE,
                functools.partial(jax.nn.leaky_relu, negative_slope=0.1),
                functools.partial(jax.nn.leaky_relu, negative_slope=0.2)):  # fmt: skip
        yield Net(act=act)
    nearly = np.nextafter(np.asarray(net.linear), np.float32(9))
    yield eqx.tree_at(lambda m: m.linear, net, jnp.asarray(nearly))
    yield eqx.tree_at(lambda m: m.linear, net, net.linear.T)
    yield eqx.tree_at(lambda m: m.linear, net, nn.Linear(2, 3, key=jr.key(0)))
    yield eqx.tree_at(lambda m: m.kernel, net, lambda x: x)
    yield jax.tree.map(lambda x: x.astype(jnp.bfloat16) if eqx.is_array(x) else x, net)
    yield eqx.nn.Sequential([net, net])
    yield eqx.nn.Lambda(lambda x: x.mean((-3, -2)))
    for body in ("x + 1", "x - 1", "abs(x)", "x[::-1]"):  # one class, its code edited
        space = {"eqx": eqx, "__name__": "notebook"}
        exec(f"class N(eqx.Module):\n    def __call__(self, x):\n        return {body}", space)
        yield space["N"]()
    for momentum in (0.9, 0.99):
        yield eqx.nn.make_with_state(lambda m: nn.BatchNorm(3, momentum=m))(momentum)


def data():
    x, y = arrays()
    changed, relabelled = x.copy(), y.copy()
    changed[7, 1, 2, 0] ^= 1
    relabelled[7] = 0
    yield from ((x, y), (changed, y), (x, relabelled), (x[::-1], y), (x, y[::-1]), (x[:-3], y[:-3]))
    yield from ((x.astype(np.float32), y), (x.reshape(30, 2, 8, 1), y), (jnp.asarray(x) / 255, y))
    yield (np.ma.masked_less(x, 9), y)
    yield {"train": (x, y), "test": (x[:6], y[:6])}
    yield {"train": (x, y), "test": (x[6:12], y[6:12])}
    yield {"train": (x, y), "test": (x[:6], y[:6]), "val": (x[6:9], y[6:9])}
    whole = from_arrays((x, y))
    yield whole
    yield dataclasses.replace(whole, mean=whole.mean + 1)
    yield dataclasses.replace(whole, class_names=("a", "b", "c"))
    yield dataclasses.replace(whole, train=whole.train.select(np.arange(10)))
    yield dataclasses.replace(whole, fingerprint="later")


def losses():
    weights = jnp.arange(3.0)
    yield from (brier, scaled, tabled, jax.jit(brier), chosen)
    yield from (functools.partial(chosen, power=3), functools.partial(chosen, axis=(-1,)))
    yield from (power(1), power(2), power(weights), power(weights + 1), nested(1), nested(2))
    yield from (lambda z, t: (z - t).sum(-1), lambda z, t: (t - z).sum(-1))
    yield from (lambda z, t, k=1: k * brier(z, t), lambda z, t, k=2: k * brier(z, t))
    yield from (lambda z, t, *, k=1: k * brier(z, t), lambda z, t, *, k=2: k * brier(z, t))
    yield from (Weighted(weights), Weighted(weights + 1), Heavier(weights))
    yield from (Weighted(weights).total, Weighted(weights + 1).total)
    yield from (Slotted(1), Slotted(2), Settings(), Settings(2.0), Settings(more=[1]))
    yield from (wrapped(brier, 1), wrapped(brier, 2), wrapped(optax.l2_loss, 1))
    yield from (optax.softmax_cross_entropy, optax.l2_loss, optax.squared_error)
    yield from (Weighted(collections.defaultdict(int)), Weighted(collections.defaultdict(float)))
    yield from (lambda z, t: bent(z).sum(-1), jax.vmap(brier), jax.checkpoint(brier))
    yield functools.partial(optax.huber_loss, delta=0.5)
    yield lambda z, t: next(f(z, t) for f in (brier, chosen))
    yield lambda z, t: next(f(z, t) for f in (chosen, brier))
    module = types.ModuleType("notebook")
    for text in ("K = 1", "K = 2"):  # a name that its function reads
        exec(f"{text}\ndef loss(z, t):\n    return K * (z - t).sum(-1)", vars(module))
        yield module.loss
        space = dict(vars(module))
        exec("def helper(z):\n    return K * z\ndef loss(z, t):\n    return helper(z)", space)
        yield space["loss"]


def rules():
    yield from (optax.sgd(0.1), optax.sgd(0.2), optax.sgd(0.1, momentum=0.9), optax.adam(0.1))
    yield from (optax.adam(0.1, b1=0.8), optax.adamw(0.1), optax.lion(0.1))
    yield from (optax.sgd(optax.cosine_decay_schedule(0.1, n)) for n in (10, 20))
    yield from (optax.sgd(lambda step: 0.1 / (step + 1)), optax.sgd(lambda step: 0.1 / (step + 2)))
    clip = optax.clip_by_global_norm
    yield from (optax.chain(clip(1.0), optax.sgd(0.1)), optax.chain(clip(2.0), optax.sgd(0.1)))
    yield optax.chain(optax.sgd(0.1), clip(1.0))
    yield optax.masked(optax.sgd(0.1), lambda p: jax.tree.map(lambda x: x.ndim > 1, p))
    yield optax.masked(optax.sgd(0.1), lambda p: jax.tree.map(lambda x: x.ndim > 2, p))
    yield optax.inject_hyperparams(optax.adam)(learning_rate=0.1)


def keys(step=1):
    """What `build` keys a result by, for each, or for some."""
    parts = {"model": models, "data": data, "loss": losses, "optimizer": rules}
    for name, every in parts.items():
        for part in itertools.islice(every(), None, None, step):
            yield name, Own(**{name: part}).contents(None)[name]


def test_100_changes_are_100_keys():
    found = list(keys())
    assert len(found) >= 100
    assert len(set(found)) == len(found), [k for k in found if found.count(k) > 1]
    again = [list(some) for _, some in itertools.groupby(found, lambda key: key[0])]
    assert list(keys(5)) == [key for some in again for key in some[::5]]  # made and found again


def test_what_a_function_reads_is_part_of_it(monkeypatch):
    changes = []
    for change in (
        lambda: monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0),
        lambda: monkeypatch.setitem(TABLE, "scale", 2.0),
        lambda: TABLE["shift"].append(1.0),
        lambda: monkeypatch.setattr(sys.modules[__name__], "brier", chosen),
        lambda: monkeypatch.setattr(Weighted, "factor", 3),
    ):
        before = digest((scaled, tabled, Weighted(1)))
        change()
        changes.append(before != digest((scaled, tabled, Weighted(1))))
    TABLE["shift"].pop()
    assert changes == [True] * 5


def test_what_a_module_holds_now_is_part_of_it(tmp_path, monkeypatch):
    (tmp_path / "held.py").write_text("K = 1\nTABLE = {}\ndef f(x):\n    return K * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import held

    loss = lambda logits, target: held.f(logits)
    found = [digest(loss), digest(loss)]
    for change in ({"K": 2}, {"TABLE": {"a": 1}}, {"f": brier}):
        vars(held).update(change)
        found.append(digest(loss))
    assert len(set(found)) == len(found) - 1
    monkeypatch.delitem(sys.modules, "held")


def test_equal_things_have_equal_digests_in_any_process(capsys):
    code = (
        "from cnnlab.content import digest\nimport jax.numpy as jnp, numpy as np, optax\n"
        "def f(x, y=frozenset('abcdef')):\n    return jnp.sin(x) * len({'u', 'v', 'w'})\n"
        "print(digest([f, {'a': 1.5}, {'x', 'y', 'z'}, np.arange(3), optax.adam(0.1)]))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exec(code, {"__name__": "__main__"})
    assert there.stdout == capsys.readouterr().out != ""


def test_the_files_of_a_module_are_its_content(tmp_path, monkeypatch):
    (tmp_path / "filed" / "deep").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for name in ("__init__.py", "layers.py", "deep/more.py", "deep/table.csv", "layers.py"):
        with (tmp_path / "filed" / name).open("a") as file:
            file.write("# more\n")
        found.append(files_digest("filed"))
    assert len(set(found)) == 5


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (threading.Lock, "a lock is of compiled code"),
        (lambda: io.TextIOWrapper(io.BytesIO()), "a TextIOWrapper holds what can't be read"),
        (lambda: itertools.count(), "a count is of compiled code"),
        (lambda: (i for i in "ab"), "a generator is of compiled code"),
        (lambda: jax.devices()[0], "a Device is of compiled code"),
        (lambda: lambda z, t: eval("z"), "it calls eval, which runs code"),
        (lambda: lambda z, t: open("w"), "it calls open, which reads what"),  # noqa: SIM115
        (lambda: sys.modules["importlib"], "it uses importlib, which imports"),
        (lambda: np.frompyfunc(abs, 1, 1), "compiled code that has no name"),
    ],
)
def test_what_can_not_be_read_asks_for_a_name(make, says):
    thing = make()
    with pytest.raises(Unknowable, match=says):
        digest({"x": [thing]})
    loss = lambda logits, target: thing
    with pytest.raises(ConfigError, match=rf'^loss: .*\(thing: .*{says}.*name="..."') as caught:
        Own(loss=loss).contents(None)
    assert "\n" not in str(caught.value)
    one, other = (Own(loss=loss, optimizer=optax.sgd(0.1)).contents(n) for n in ("a", "b"))
    assert one["loss"] != other["loss"] and one["optimizer"] == other["optimizer"]


class Reader:
    """Examples that are read when asked for."""

    def __len__(self):
        return 4

    def __getitems__(self, positions):
        return [(np.zeros((4, 4, 1), np.uint8), 0) for _ in positions]


def test_examples_that_are_read_later_need_a_fingerprint():
    split = SourceSplit(Reader(), (4, 4, 1))
    streamed = dataclasses.replace(from_arrays(arrays()), train=split, fingerprint="")
    with pytest.raises(ConfigError, match=r"^data: .*read when asked for; Dataset\(fingerprint"):
        Own(data=streamed).contents(None)
    told = [Own(data=dataclasses.replace(streamed, fingerprint=f)).contents(None) for f in "ab"]
    assert told[0] != told[1]
