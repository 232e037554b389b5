"""Receptive fields (A 4.1): in closed form, from gradients, and how strongly each input counts.

A network here is `apply(model, xs)`: a batch `(n, *spatial, c)` to a batch `(n, *out, c_out)`,
in inference mode, so that examples do not see each other.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from cnnlab.analysis.program import traced
from cnnlab.display import View, shown
from cnnlab.models import reach
from cnnlab.models.trace import position, trace

Apply: TypeAlias = Callable[[PyTree, Array], Array]


@shown
class Field(NamedTuple):
    """What the output positions of one layer depend on, away from the borders, per spatial axis.

    Output position `i` depends on input positions `offset + i * stride` to
    `offset + i * stride + size - 1`; where the layers have dilation, maybe not on all of them.
    """

    path: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: tuple[int, ...]

    def view(self) -> View:
        axes = zip(self.size, self.stride, self.offset, strict=True)
        table = [("axis", "size", "stride", "offset"), *((i, *axis) for i, axis in enumerate(axes))]
        return View(f"receptive field{f' of {self.path}' if self.path else ''}", table)

    @property
    def centre(self) -> tuple[float, ...]:
        """Of output position 0, in input positions: half-integers for an even size."""
        return tuple(at + (n - 1) / 2 for at, n in zip(self.offset, self.size, strict=True))

    def interval(self, position: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """First and last input position, per axis, of an output position; borders do not clip."""
        zipped = zip(self.offset, self.stride, self.size, position, strict=True)
        return tuple((at + i * s, at + i * s + n - 1) for at, s, n, i in zipped)


def receptive_field(
    f: Callable[..., Array], x: PyTree, *others: PyTree, axes: Sequence[int] | None = None
) -> Field:
    """What a position of the result of any JAX function depends on in its first argument, all
    entries of the last axis (the channels) together: from the function's jaxpr, so branches,
    residuals and layers of other libraries are followed, and nothing is computed.

    An upper bound (`cnnlab.models.reach`): a zero in a weight is not seen, and what a Fourier
    transform mixes counts as all. Unlike in `fields`, the statistics of a normalisation count.

    **Arguments:**

    - `f`: `(x, *others) -> y`, one array.
    - `x`: an array or a `jax.ShapeDtypeStruct`; `others`: whatever `f` takes besides.
    - `axes`: those of `x` to follow; None is all but the first and the last, `(*batch, *spatial,
      c)` with one batch axis.

    **Returns:** a `Field`, an entry for each of `axes`; stride 0 and the size of the axis where
    every output depends on all of it.

    **Raises:** `ValueError`: axes that `x` does not have, several results, or a function that
    can't be followed; it names the operation.
    """
    axes = tuple(range(1, np.ndim(x) - 1) if axes is None else axes)
    if not axes or not all(isinstance(a, int) and 0 <= a < np.ndim(x) for a in axes):
        raise ValueError(f"axes: expected some of 0 to {np.ndim(x) - 1}, got {axes}")
    closed, out, static = traced(lambda x, others: f(x, *others), x, others)
    if len(jax.tree.leaves(out)) != 1 or jax.tree.leaves(static):
        raise ValueError(f"f: expected a function with one array as its result, got {out}")
    first, *rest = closed.jaxpr.invars
    inputs = [reach.given(first.aval.shape, axes)]
    inputs += [reach.constant(v.aval.shape, len(axes)) for v in rest]
    (value,) = reach.follow(closed.jaxpr, inputs)
    found = position(value)
    if found.size == "all":
        whole = tuple(first.aval.shape[a] for a in axes)
        return Field("", whole, (0,) * len(axes), (0,) * len(axes))
    if found.size == "unknown":
        names = [s.operation for s in value.spans if isinstance(s, reach.Unknown)]
        raise ValueError(
            f"f: can't be followed through {', '.join(dict.fromkeys(names)) or 'its last reshape'}"
        )
    return Field("", found.size, found.step, found.offset)


def fields(
    model: PyTree, in_shape: Sequence[int], state: eqx.nn.State | None = None
) -> list[Field]:
    """The field of every layer, in closed form, up to where the spatial axes end or something is
    not followed.

    A window of size `k`, stride `s`, dilation `d` with `p` rows of padding before the first, on
    inputs `j` apart, makes `size += (k - 1) d j`, `offset -= p j`, `j *= s`. Padding with anything
    but zeros, and the statistics of a normalisation, reach further; that is left out.

    **Arguments:** as `cnnlab.models.trace.trace` takes them.
    """
    found = []
    for call in trace(model, tuple(in_shape), state):
        size = call.receptive_field
        if not isinstance(size, tuple) or len(call.out_shape) != len(size) + 1:
            break
        found.append(Field(call.path, size, call.step, call.offset))
    return found


def spikes(shape: Sequence[int], height: float = 1e3) -> Float[Array, "n ..."]:
    """One example `(*spatial, c)` for every position: 1 everywhere, `height` there.

    In a network with positive weights, a spike wins every maximum that depends on it: so these
    inputs together find all that an output depends on, through max-pooling too.
    """
    *spatial, channels = shape
    n = int(np.prod(spatial))
    xs = np.ones((n, n, channels), np.float32)
    xs[np.arange(n), np.arange(n)] = height
    return jnp.asarray(xs.reshape(n, *shape))


def depends_on(
    apply: Apply,
    model: PyTree,
    xs: Float[Array, "n ..."],
    position: Sequence[int],
) -> Bool[np.ndarray, "..."]:
    """`(*spatial)`: whether an output position has a gradient in an input position, in any channel,
    at any of the inputs `xs` (A 4.1, measured).

    Exact zeros count as no dependence, so the network must compute by sums of products: `lax`.
    """
    gradient = _gradient(apply, model, xs, tuple(position), None)
    return np.asarray((gradient != 0).any((0, -1)))


def measured_field(
    apply: Apply,
    model: PyTree,
    in_shape: Sequence[int],
    position: Sequence[int],
) -> Field:
    """The field from gradients at an output position and at its neighbour one further on every
    axis, of a network with positive weights and inputs `(*spatial, c)`; both off the border."""
    xs = spikes(in_shape)
    at, then = tuple(position), tuple(o + 1 for o in position)
    here, there = (bounding_box(depends_on(apply, model, xs, o)) for o in (at, then))
    size = tuple(high - low + 1 for low, high in here)
    stride = tuple(b - a for (a, _), (b, _) in zip(here, there, strict=True))
    offset = tuple(low - o * s for (low, _), o, s in zip(here, at, stride, strict=True))
    return Field("", size, stride, offset)


def effective_field(
    apply: Apply,
    model: PyTree,
    xs: Float[Array, "n ..."],
    position: Sequence[int],
    key: PRNGKeyArray,
) -> Float[np.ndarray, "..."]:
    """`(*spatial)`: squared gradient of an output position in each input position, mean over
    the inputs `xs` and sum over channels, normalised to sum 1 (Luo et al., 2016).

    The output's channels are added with random signs, new ones for every input, which makes the
    expectation the sum of all channels' squared gradients.
    """
    gradient = _gradient(apply, model, xs, tuple(position), key)
    energy = np.asarray(jnp.sum(jnp.square(gradient), (0, -1)), np.float64)
    return energy / energy.sum()


def _gradient(
    apply: Apply,
    model: PyTree,
    xs: Array,
    position: tuple[int, ...],
    key: PRNGKeyArray | None,
) -> Array:
    # The weight of the output is an argument: of a constant, XLA would fold the whole gradient.
    return _weighted_gradient(apply, model, xs, position, key, jnp.ones(()))


@eqx.filter_jit
def _weighted_gradient(apply, model, xs, position, key, weight):
    def value(xs: Array) -> Array:
        y = apply(model, xs)[(slice(None), *position)]
        signs = 1.0 if key is None else jr.rademacher(key, y.shape, y.dtype)
        return weight * jnp.sum(y * signs)

    return jax.grad(value)(xs)


def bounding_box(support: Bool[np.ndarray, "..."]) -> tuple[tuple[int, int], ...]:
    """First and last position of what is true, per axis.

    **Raises:** `ValueError`: nothing is.
    """
    if not support.any():
        raise ValueError("support: expected something that is true, got nothing")
    places = np.nonzero(support)
    return tuple((int(p.min()), int(p.max())) for p in places)


def width(field: Float[np.ndarray, "..."]) -> float:
    """Standard deviation of a distribution over positions, in positions: the root of the mean over
    the axes of the variance along them."""
    field = field / field.sum()
    variances = []
    for axis in range(field.ndim):
        along = field.sum(tuple(a for a in range(field.ndim) if a != axis))
        place = np.arange(len(along))
        mean = along @ place
        variances.append(along @ (place - mean) ** 2)
    return float(np.sqrt(np.mean(variances)))


def expected_width(kernel_size: int, depth: int) -> float:
    """`width` for `depth` convolutions of stride 1 with independent weights of mean 0.

    The expected squared gradient is then that of a uniform kernel convolved with itself `depth`
    times, whose variance is `depth (s^2 - 1) / 12` (Luo et al., 2016, section 2).
    """
    return float(np.sqrt(depth * (kernel_size**2 - 1) / 12))
