"""What the public functions of `data` and `train` say of arguments of the wrong kind."""

import math
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from cnnlab import data, train
from cnnlab.arguments import checked
from cnnlab.data import augment

NUMBERS = (None, "x", b"x", True, math.nan, [], {}, object(), np.zeros(3))
WHOLE = (*NUMBERS, 2.5)
WORDS = (None, "x", 5, ["auto"], object())
TEXTS = (5, True, b"x", [], object(), np.zeros(3))
LISTS = (None, 5, "x", ["x"], [None], object())
OBJECTS = (None, 5, "x", [], object())
SPLIT = {"placement": WORDS, "workers": WHOLE}
MADE = {**SPLIT, "val_fraction": NUMBERS}
SIZE = {"size": (True, math.nan, "x", {}, object(), 2.5, ["x"])}
PUBLISHED = {**MADE, **SIZE, "source": TEXTS, "data_dir": TEXTS}
SIZES = {"train_size": WHOLE, "test_size": WHOLE, "seed": WHOLE}
ARRAYS = {"image": np.zeros((4, 2, 2, 1), np.uint8), "label": np.zeros(4, int)}
EXAMPLES = data.ArraySplit(**ARRAYS)
LOADER = data.loader(EXAMPLES, 2, seed=0)
NET = eqx.nn.Linear(4, 2, key=jr.key(0))
TASK = train.tasks.Classification(("a", "b"))
STATISTICS = {"mean": np.zeros(1, np.float32), "std": np.ones(1, np.float32)}
# A function, what it needs, and values that each of its arguments refuses.
DOORS = [
    (data.ArraySplit, ARRAYS, {**SPLIT, "image": (None, 5, [1], "x"), "label": (None, [0], "x")}),
    (data.SourceSplit, {}, {**SPLIT, "source": OBJECTS[:3], "shape": LISTS}),
    (
        data.epoch_order,
        {"n": 5, "seed": 0, "epoch": 0},
        dict.fromkeys(("n", "seed", "epoch"), WHOLE),
    ),
    (
        data.loader,
        {"split": EXAMPLES, "batch_size": 2, "seed": 0},
        {"split": OBJECTS, "batch_size": WHOLE, "seed": WHOLE, "placement": WORDS, "shuffle": (2,)},
    ),
    (data.statistics, {}, {"split": OBJECTS}),
    (data.fake, {}, {**MADE, **SIZE, **SIZES, "shape": LISTS, "num_classes": WHOLE}),
    (data.quadratic, {}, {**MADE, **SIZES, "dimension": WHOLE}),
    (data.recall, {}, {**MADE, **SIZES, "length": WHOLE, "pairs": WHOLE}),
    (data.listops, {}, {**MADE, **SIZES, "min_length": WHOLE, "depth": WHOLE}),
    (data.digits, {}, {**MADE, **SIZE, "test_fraction": NUMBERS}),
    (data.mnist1d, {}, {**MADE, "shuffled": (None, 1, "x"), "cache": (None, 1, "x")}),
    (data.mnist, {}, PUBLISHED),
    (data.fashion_mnist, {}, PUBLISHED),
    (data.cifar10, {}, {**PUBLISHED, "train_split": TEXTS}),
    (data.cifar100, {}, {**PUBLISHED, "label": WORDS[1:]}),
    (data.tfds_dataset, {"name": "x"}, {**MADE, **SIZE, "name": TEXTS, "data_dir": TEXTS}),
    (augment.Crop, {}, {"padding": WHOLE, "mode": WORDS}),
    (augment.AlternatingFlip, {}, {"seed": WHOLE}),
    (augment.Cutout, {}, {"size": WHOLE}),
    (augment.Mixup, {}, {"alpha": NUMBERS}),
    (augment.CutMix, {}, {"alpha": NUMBERS}),
    (augment.RandomErasing, {}, {"probability": NUMBERS, "area": LISTS, "fill": WORDS}),
    (train.Pmap, {}, {"devices": WHOLE[1:]}),
    (train.Shard, {}, {"devices": WHOLE[1:]}),
    (train.RunDirectory, {}, {"path": OBJECTS}),
    (train.Evaluator, {"batches": LOADER, "judge": print}, {"runtime": OBJECTS}),
    (train.make_judge, STATISTICS, {"views": TEXTS}),
    (
        train.make_prepare,
        {**STATISTICS, "task": TASK, "transforms": [], "label_smoothing": 0.1},
        {"steps_per_epoch": WHOLE, "task": OBJECTS, "label_smoothing": NUMBERS},
    ),
    (train.make_train_step, {}, {"optimizer": OBJECTS}),
    (train.init_state, {}, {"model": OBJECTS}),
    (
        train.fit,
        {"model": NET, "data": EXAMPLES, "optimizer": optax.sgd(0.1), "steps": 1, "batch_size": 2},
        {
            **{"model": OBJECTS, "data": (*OBJECTS, (1, 2)), "optimizer": OBJECTS},
            **{"steps": WHOLE, "batch_size": WHOLE, "seed": WHOLE, "loss": (None, 5)},
            **{"state": OBJECTS[1:], "prepare": (5, "x"), "runtime": OBJECTS[1:]},
            **{"average": (*NUMBERS[1:], 1.0), "precision": WORDS, "callbacks": (5, [None], print)},
        },
    ),
]
REFUSED = [(door, needed, name) for door, needed, wrong in DOORS for name in wrong]


@pytest.mark.parametrize(
    ("door", "needed", "name"), REFUSED, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_wrong_argument_is_refused_by_name_in_one_line(door, needed, name):
    wrong = next(wrong for other, _, wrong in DOORS if other is door)[name]
    for value in wrong:
        with pytest.raises(ValueError, match=rf"^{name}: expected .*, got ") as caught:
            door(**{**OTHERS.get(door, {}), **needed, name: value})
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


class Examples(list):
    def __getitems__(self, positions):
        return [self[i] for i in positions]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: data.epoch_order(-1, 0, 0), "n"),
        (lambda: data.epoch_order(5, -1, 0), "seed"),
        (lambda: data.epoch_order(5, 0, -1), "epoch"),
        (lambda: data.fake(seed=-1), "seed"),
        (lambda: data.fake(seed=2**32), "seed"),
        (lambda: data.quadratic(seed=-1), "seed"),
    ],
)
def test_numbers_that_numpy_would_refuse(call, name):
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got "):
        call()


# What has no default, where the arguments above are refused one at a time.
OTHERS: dict[Any, dict[str, Any]] = {
    data.SourceSplit: {"source": Examples(), "shape": (2, 2)},
    train.init_state: {"model_state": None, "optimizer": None, "average": False, "key": None},
    train.make_prepare: {"steps_per_epoch": 5},
}


def test_what_annotations_say_is_taken():
    @checked
    def door(
        a: int,
        b: float | int = 0.5,
        *more: Any,
        c: Literal["x", "y"] = "x",
        d: str | Path | None = None,
        e: jax.Array | None = None,
        f: Any = None,
    ) -> tuple[Any, ...]:
        """Its documentation."""
        return a, b, more, c, d, e, f

    assert door.__doc__ == "Its documentation."
    taken = door(np.int64(1), 2, "more", c="y", d=Path("p"))
    assert taken == (1, 2, ("more",), "y", Path("p"), None, None)
    assert door(1, math.inf, e=jnp.zeros(2), f=door)[1] == math.inf
    with pytest.raises(ValueError, match=r"^b: expected a number, got nan"):
        door(1, math.nan)
    with pytest.raises(ValueError, match=r"^c: expected one of 'x', 'y', got 'z'"):
        door(1, c="z")
    with pytest.raises(ValueError, match=r"^d: expected a text or a Path or None, got 5"):
        door(1, d=5)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        door()
