"""A convolution of JAX's as a pass of one of cnnlab's: arrays from one to the other and back."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.adjoint import transpose_kernel
from cnnlab.ops.algorithms.base import Map
from cnnlab.ops.problem import Pass, Problem


@dataclass(frozen=True)
class Reading:
    """What a convolution is.

    - `which`, `problem`: a pass, and what it is one of; `members`: how many there are side by side.
    - `lhs`, `rhs`: axes of JAX's operands in cnnlab's order; `out`: those of cnnlab's result in
      JAX's order.
    - `exchanged`: of a kernel's gradient, whether JAX's first operand is `dy`; it is turned around.
    - `edges`: per axis of `x`, operand or result, what is put before, behind and between its
      entries; negative: taken away.
    - `direct`: only an algorithm that sums every result by itself may serve.
    """

    which: Pass
    problem: Problem
    members: int
    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    out: tuple[int, ...]
    exchanged: bool
    edges: tuple[tuple[int, int, int], ...]
    direct: bool

    @property
    def channels_first(self) -> "Reading | None":
        """The same for what runs a pass of activations `(n, c, *spatial)`; None where JAX's are not
        all like that."""
        results = self.rhs if self.which == "kernel_gradient" else tuple(np.argsort(self.out))
        last = range(2, len(self.lhs))
        if self.members > 1 or not self.lhs == results == (0, *last, 1):
            return None
        name = "rhs" if self.which == "kernel_gradient" else "out"
        batch, *edges, c = self.edges
        same = (0, 1, *last)
        return replace(self, lhs=same, edges=(batch, c, *edges), **{name: same})

    @property
    def outputs_first(self) -> bool:
        """Whether JAX's kernel, or its gradient, is `(c_out, c_in / groups, *kernel_size)`."""
        *at, i, o = np.argsort(self.out) if self.which == "kernel_gradient" else self.rhs
        i, o = (o, i) if self.which == "input_gradient" or self.exchanged else (i, o)
        return self.members == 1 and (o, i, *at) == tuple(range(len(self.rhs)))

    def compute(self, lhs: Array, rhs: Array, run: Map) -> Array:
        """JAX's result of JAX's operands, in the type of the problem, by what runs the pass."""
        lhs, rhs = (v.astype(self.problem.dtype) for v in (lhs, rhs))
        parts = {
            "forward": self._forward,
            "input_gradient": self._input_gradient,
            "kernel_gradient": self._kernel_gradient,
        }
        y = parts[self.which](lax.transpose(lhs, self.lhs), rhs, run)
        return lax.transpose(y, self.out)

    def _forward(self, lhs: Array, rhs: Array, run: Map) -> Array:
        return run(self._edged(lhs), lax.transpose(rhs, self.rhs), self.problem)

    def _input_gradient(self, lhs: Array, rhs: Array, run: Map) -> Array:
        return self._edged(run(lhs, self._unturned(rhs), self.problem))

    def _unturned(self, rhs: Array) -> Array:
        """The kernel that JAX turned around: its steps back, last one first, so that XLA finds each
        beside the one that it undoes and drops both."""
        *at, i, o = self.rhs
        rhs, groups = lax.rev(rhs, at), self.problem.groups
        if groups == 1:
            return lax.transpose(rhs, (*at, o, i))
        rhs = rhs.reshape(*rhs.shape[:o], groups, -1, *rhs.shape[o + 1 :])
        *at, i = (axis + (axis > o) for axis in (*at, i))
        rhs = rhs.transpose(*at, o + 1, o, i)  # (.., c_in / g, g, c_out / g)
        return rhs.reshape(self.problem.kernel_shape)

    def _kernel_gradient(self, lhs: Array, rhs: Array, run: Map) -> Array:
        rhs = lax.transpose(rhs, self.rhs)

        def one(lhs: Array, rhs: Array) -> Array:
            x, dy = (rhs, lhs) if self.exchanged else (lhs, rhs)
            kernel = run(self._edged(x), dy, self.problem)
            return transpose_kernel(kernel, self.problem.groups) if self.exchanged else kernel

        if self.members == 1:
            return one(lhs, rhs)
        # The first operand has the members' examples one after another, the second their channels.
        lhs = lhs.reshape(self.members, -1, *lhs.shape[1:])
        rhs = jnp.moveaxis(rhs.reshape(*rhs.shape[:-1], self.members, -1), -2, 0)
        kernels = jnp.moveaxis(lax.map(lambda pair: one(*pair), (lhs, rhs)), 0, -2)
        return kernels.reshape(*kernels.shape[:-2], -1)

    def _edged(self, x: Array) -> Array:
        if not any(map(any, self.edges)):
            return x
        return lax.pad(x, jnp.zeros((), x.dtype), self.edges)
