"""Transfer learning: reuse a backbone, swap its head, train a part (A 4.8, A 4.9 point 3)."""

import dataclasses
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.tree_util as jtu
from jaxtyping import PyTree

from cnnlab.arguments import having
from cnnlab.models.classifier import Classifier
from cnnlab.models.names import Named, named_arrays, path_name, with_arrays

_BACKBONE = "backbone."
_HEAD = "head."
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Report:
    """What `load_backbone` did, by name; `str(report)` is a few lines to print.

    - `matched`: loaded.
    - `missing`: arrays of the backbone for which there was no tensor: they keep their values.
    - `unexpected`: tensors for which the backbone has no array.
    - `mismatched`: `(name, shape in the model, shape of the tensor)`: not loaded.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether every array of the backbone was loaded and no tensor was left over."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        lines = [f"loaded {len(self.matched)} of {total} arrays of the backbone"]
        shapes = [f"{name} {have} != {got}" for name, have, got in self.mismatched]
        for kind, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mismatched", shapes),
        ):
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                lines.append(f"  {kind} {len(names)}: {', '.join(names[:_SHOWN])}{more}")
        return "\n".join(lines)


def replace_head(model: Classifier, head: object) -> Classifier:
    """The same backbone under another head, for example one with other classes.

    The state of the old model serves the new one: the heads of this package have none.

    **Raises:** `ValueError` if the head was made for features of another shape, `TypeError` for
    what is no classifier or no head.
    """
    having("model", model, "a Classifier", "backbone")
    return Classifier(model.backbone, head)


def freeze(model: PyTree, where: str | Sequence[str] = "backbone") -> PyTree:
    """Which arrays still train: a tree like `model` with True (trains) or False (frozen).

    Give it to `eqx.partition(model, mask)`, so that no gradient is computed for what is frozen,
    or to optax. Optax would call a mask that is a module, so it gets it behind a function:

        optax.multi_transform({True: optimizer, False: optax.set_to_zero()}, lambda _: mask)

    (`optax.masked` alone passes the raw gradient of a frozen array through.) Running statistics
    are not parameters: they stop moving when the frozen part is in inference mode,
    `eqx.nn.inference_mode`.

    **Arguments:** `where`: the name of a part as in `named_arrays`, such as `"backbone"` or
    `"backbone.stages[0]"`, or several.

    **Raises:** `ValueError` if a name fits no array of the model.
    """
    parts = (where,) if isinstance(where, str) else tuple(where)
    names = tuple(named_arrays(model))
    for i, part in enumerate(parts):
        if not any(_is_part(name, part) for name in names):
            argument = "where" if isinstance(where, str) else f"where[{i}]"
            raise ValueError(f"{argument}: expected the name of a part of the model, got {part!r}")

    def trains(path, leaf):
        name = path_name(path)
        frozen = any(_is_part(name, part) for part in parts)
        return eqx.is_inexact_array(leaf) and not frozen

    return jtu.tree_map_with_path(trains, model)


def load_backbone(
    model: PyTree, state: eqx.nn.State, tensors: Mapping[str, Named]
) -> tuple[PyTree, eqx.nn.State, Report]:
    """Puts stored tensors into the backbone of a model, by name, as far as names and shapes fit.

    **Arguments:**

    - `model`, `state`: a `Classifier`, whose head is left alone, or a bare backbone.
    - `tensors`: arrays (JAX or NumPy) by the names that `named_arrays` gives to a classifier or to
      a bare backbone; those of a head are passed over.

    **Returns:** the new model, the new state and a `Report`. Print it: nothing is refused.
    """
    having("tensors", tensors, "arrays by name", "items")
    prefix = _BACKBONE if isinstance(model, Classifier) else ""
    own = {n: a for n, a in named_arrays(model, state).items() if n.startswith(prefix)}
    given = {
        prefix + name.removeprefix(_BACKBONE): tensor
        for name, tensor in tensors.items()
        if not name.startswith(_HEAD)
    }
    shapes = {
        name: (tuple(own[name].shape), tuple(given[name].shape))
        for name in own.keys() & given.keys()
    }
    fits = {name: given[name] for name, (have, got) in shapes.items() if have == got}
    report = Report(
        matched=tuple(name for name in own if name in fits),
        missing=tuple(name for name in own if name not in given),
        unexpected=tuple(name for name in given if name not in own),
        mismatched=tuple((n, *shapes[n]) for n in own if n in shapes and n not in fits),
    )
    model, state = with_arrays(model, state, fits)
    return model, state, report


def _is_part(name: str, part: str) -> bool:
    return name == part or name.startswith((f"{part}.", f"{part}["))
