"""What every layer can be asked without running it.

`Layer` says the questions; the classes below it answer what all layers of a kind answer alike. A
class is either abstract, or a layer whose methods no other one replaces, as in Equinox.
"""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
from equinox.nn import State
from jaxtyping import Array, PRNGKeyArray

from cnnlab.ops import Padding, Pass, Problem, Window
from cnnlab.ops.choice import check, choose


class Layer(eqx.Module):
    """A layer: `layer(x, *, key=None) -> y`, or `layer(x, state, *, key=None) -> (y, state)`.

    `window` slides over the input, or over the output of a transposed convolution; None where no
    window does.
    """

    if TYPE_CHECKING:  # equinox does not tell a checker that fields of a module are read-only

        @property
        def window(self) -> Window | None: ...

    else:
        window: eqx.AbstractVar[Window | None]

    @abc.abstractmethod
    def __call__(self, x: Array, *state: State, key: PRNGKeyArray | None = None) -> Any:
        """The layer's output, and the new state where there is one."""

    @abc.abstractmethod
    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of the output for one example of shape `in_shape`, `(*spatial, c)`."""

    @abc.abstractmethod
    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Multiply-adds of the defining sum for one example `in_shape`, `(*spatial, c)`; what adds
        a bias or normalises is not counted."""


class ShapePreserving(Layer):
    """A layer whose output entry comes from the input entry in its place, but for statistics."""

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(in_shape)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0: nothing is multiplied by a matrix."""
        del in_shape
        return 0


class WindowLayer(Layer):
    """A layer each of whose outputs comes from one window."""

    if TYPE_CHECKING:

        @property
        def window(self) -> Window: ...

    else:
        window: eqx.AbstractVar[Window]

    @property
    def num_spatial_dims(self) -> int:
        """Number of spatial axes."""
        return self.window.rank

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Taps along each spatial axis."""
        return self.window.size

    @property
    def stride(self) -> tuple[int, ...]:
        """Input positions between neighbouring windows, along each spatial axis."""
        return self.window.stride

    @property
    def padding(self) -> Padding:
        """As it was given: a word, or pairs of positions before and after each spatial axis."""
        return self.window.padding

    @property
    def dilation(self) -> tuple[int, ...]:
        """Input positions between neighbouring taps, along each spatial axis."""
        return self.window.dilation


class Convolution(Layer):
    """A layer that one of `ops.conv`'s algorithms computes.

    `passes` of its `problem` are what the layer computes, then its gradients in input and kernel.
    """

    algorithm: eqx.AbstractVar[str]
    passes: eqx.AbstractClassVar[tuple[Pass, ...]]

    @abc.abstractmethod
    def problem(self, in_shape: Sequence[int]) -> Problem:
        """The convolution that `in_shape`, `(*batch, *spatial, c_in)`, asks for."""

    def algorithms(self, in_shape: Sequence[int]) -> tuple[str, ...]:
        """Names of what computes each of `passes` for `in_shape` on the default platform."""
        problem, platform = self.problem(in_shape), jax.default_backend()
        asked = check(self.algorithm, problem)
        return tuple(choose(asked, problem, which, platform).name for which in self.passes)


def spatial_rank(num_spatial_dims: int) -> int:
    """The number of spatial axes of a layer.

    **Raises:** `ValueError` unless it is 1, 2 or 3.
    """
    if num_spatial_dims not in (1, 2, 3):
        raise ValueError(f"num_spatial_dims: expected 1, 2 or 3, got {num_spatial_dims!r}")
    return num_spatial_dims
