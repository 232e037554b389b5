"""What causal layers keep of the past, to give one position after another.

`layer.memory(length)` makes a layer's; `cnnlab.models.Stream` runs a whole model with them. All
carries are arrays that begin as zeros.
"""

import abc
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from cnnlab import ops
from cnnlab.ops.precision import accumulation_dtype

Carry: TypeAlias = Any
Layer: TypeAlias = Callable[[Array], Array]


class Memory(eqx.Module):
    """A causal layer, position by position: `(carry, x) -> (carry, y)`, as `lax.scan` takes it."""

    @abc.abstractmethod
    def start(
        self, layer: Layer, x: Float[Array, "*dims n c"]
    ) -> tuple[Carry, Float[Array, "*dims n c_out"]]:
        """The first positions at once, `layer(x)` of `(*batch, n, c)`, and what to go on from."""

    @abc.abstractmethod
    def step(
        self, carry: Carry, x: Float[Array, "*dims c"]
    ) -> tuple[Carry, Float[Array, "*dims c_out"]]:
        """The next position, `(*batch, c)`."""


class Recent(Memory):
    """The last inputs, as many as a window holds beside the newest.

    `windows` maps `(*batch, n, c)` to the results of whole windows, `(*batch, n - count, c_out)`.
    """

    windows: Layer
    count: int = eqx.field(static=True)

    def start(
        self, layer: Layer, x: Float[Array, "*dims n c"]
    ) -> tuple[Carry, Float[Array, "*dims n c_out"]]:
        padded = jnp.pad(x, ((0, 0),) * (x.ndim - 2) + ((self.count, 0), (0, 0)))
        return padded[..., x.shape[-2] :, :], layer(x)

    def step(
        self, carry: Carry, x: Float[Array, "*dims c"]
    ) -> tuple[Carry, Float[Array, "*dims c_out"]]:
        window = jnp.concatenate([carry, x[..., None, :]], -2)
        return window[..., 1:, :], self.windows(window)[..., 0, :]


class Recurrence(Memory):
    """The states of diagonal linear systems: `s = exp(log_a) s + b x`, `y = Re sum(c s) + skip x`,
    at a cost that no past makes larger.

    `log_a`, `b` and `c` are `(channels, modes)`.
    """

    log_a: Complex[Array, "c modes"]
    change: Complex[Array, "c modes"]
    b: Complex[Array, "c modes"]
    c: Complex[Array, "c modes"]
    skip: Float[Array, " c"]

    def __init__(self, log_a: Array, b: Array, c: Array, skip: Array):
        self.log_a, self.b, self.c, self.skip = log_a, b, c, skip
        # Of a state near 1 that is kept a thousand times, the error of `exp(log_a)` would grow.
        self.change = jnp.expm1(log_a)

    def start(
        self, layer: Layer, x: Float[Array, "*dims n c"]
    ) -> tuple[Carry, Float[Array, "*dims n c"]]:
        # By pieces, from powers as many as a piece is long; zeros before the first change nothing.
        *batch, n, channels = x.shape
        size = min(n, _PIECE)
        count = -(-n // size)
        padded = jnp.pad(x, ((0, 0),) * len(batch) + ((count * size - n, 0), (0, 0)))
        pieces = jnp.moveaxis(padded.reshape(*batch, count, size, channels), -3, 0)
        powers = self.b * jnp.exp(jnp.arange(size)[::-1, None, None] * self.log_a)

        def extend(state: Array, piece: Array) -> tuple[Array, None]:
            new = [
                jnp.einsum("...nc,ncm->...cm", piece.astype(part.dtype), part)
                for part in (powers.real, powers.imag)
            ]
            return jnp.exp(size * self.log_a) * state + lax.complex(*new), None

        state, _ = lax.scan(extend, jnp.zeros((*batch, *self.b.shape), self.b.dtype), pieces)
        return state, layer(x)

    def step(
        self, carry: Carry, x: Float[Array, "*dims c"]
    ) -> tuple[Carry, Float[Array, "*dims c"]]:
        state = carry + (self.change * carry + self.b * x[..., None])
        y = (self.c * state).real.sum(-1) + self.skip * x
        return state, y.astype(x.dtype)


class Pooled(Memory):
    """The mean, sum or maximum of all positions so far: after each, what a pool over all positions
    gives of the sequence up to there.

    Means and sums keep what rounding takes from them (Kahan, "Further remarks on reducing
    truncation errors", 1965), so that they are as exact after a million positions.
    """

    kind: str = eqx.field(static=True)

    def start(
        self, layer: Layer, x: Float[Array, "*dims n c"]
    ) -> tuple[Carry, Float[Array, "*dims n c"]]:
        del layer  # gives the last of these
        count = x.shape[-2]
        wide = x.astype(accumulation_dtype(x.dtype))
        running = lax.cummax if self.kind == "max" else lax.cumsum
        found = running(wide, x.ndim - 2)
        last = found[..., -1, :]
        counts = jnp.arange(1, count + 1)[:, None]
        carry = last, jnp.zeros_like(last), jnp.asarray(count, jnp.int32)
        return carry, self._result(found, counts).astype(x.dtype)

    def step(
        self, carry: Carry, x: Float[Array, "*dims c"]
    ) -> tuple[Carry, Float[Array, "*dims c"]]:
        found, lost, count = carry
        wide = x.astype(found.dtype)
        if self.kind == "max":
            found = jnp.where(count == 0, wide, jnp.maximum(found, wide))
        else:
            added = wide - lost
            total = found + added
            found, lost = total, (total - found) - added
        return (found, lost, count + 1), self._result(found, count + 1).astype(x.dtype)

    def _result(self, found: Array, count: Array) -> Array:
        return found / count if self.kind == "avg" else found


_PIECE = 256
_SHORT = 32  # positions whose pairs are summed one by one


class Tiles(Memory):
    """Any causal depthwise kernel, `(length, channels)` with that of the present position first,
    exactly and in `O(n log^2 n)` for n positions, most of which take next to nothing.

    The pairs of an input and a later output are a triangle, cut into squares: after `t` positions,
    with `s` the largest power of two that divides `t`, what the last `s` inputs contribute to the
    next `s` outputs is one convolution (Oncescu et al. 2024, arXiv:2410.12982, algorithm 2; van der
    Hoeven's relaxed multiplication, 2002). What a prompt contributes to all that follows is another
    (Agarwal et al. 2024, arXiv:2410.03766, section 3). Pairs within a block of 32 positions are
    summed as they come. Beyond `length` positions the results are NaN.
    """

    kernel: Float[Array, "length c"]
    algorithm: str = eqx.field(static=True)

    def start(
        self, layer: Layer, x: Float[Array, "*dims n c"]
    ) -> tuple[Carry, Float[Array, "*dims n c"]]:
        del layer  # what it gives is a part of what its kernel makes of all positions
        n, length = x.shape[-2], len(self.kernel)
        lead = ((0, 0),) * (x.ndim - 2)
        wide = accumulation_dtype(x.dtype)
        whole = jnp.pad(x.astype(wide), (*lead, (0, length - n), (0, 0)))
        y = self._convolved(whole, self.kernel, (length - 1, 0))
        room = self._sizes[-1] * 2
        later = jnp.pad(y[..., n:, :], (*lead, (0, room - (length - n)), (0, 0)))
        zero = jnp.zeros((), jnp.int32)
        carry = jnp.zeros_like(later), later, zero, zero + n
        return carry, y[..., :n, :].astype(x.dtype)

    def step(
        self, carry: Carry, x: Float[Array, "*dims c"]
    ) -> tuple[Carry, Float[Array, "*dims c"]]:
        past, later, t, position = carry
        # All writes come before all reads: else XLA copies the whole at every step.
        past = _put(past, x.astype(past.dtype)[..., None, :], t)
        squares = lambda past, later: self._squares(past, later, t)
        later = lax.cond(t % _SHORT == 0, squares, lambda past, later: later, past, later)
        within = t % _SHORT
        block = _part(past, t - within, _SHORT)
        taps = self._kernel(_SHORT)[::-1]
        taps = jnp.pad(taps, ((0, _SHORT - 1), (0, 0)))
        y = _part(later, t, 1)[..., 0, :]
        y += (block * _part(taps, _SHORT - 1 - within, _SHORT)).sum(-2)
        y = jnp.where(position < len(self.kernel), y, jnp.nan)
        return (past, later, t + 1, position + 1), y.astype(x.dtype)

    @property
    def _sizes(self) -> list[int]:
        """Of the squares that there may be, and at least one."""
        sizes = [_SHORT]
        while 2 * sizes[-1] < len(self.kernel):
            sizes.append(2 * sizes[-1])
        return sizes

    def _squares(self, past: Array, later: Array, t: Int[Array, ""]) -> Array:
        """The square before position `t`, if any, by the one program of its size."""
        for size in self._sizes:

            def square(past: Array, later: Array, size: int = size) -> Array:
                # Taps 1 to 2 size - 1; of the whole convolution the results from size on.
                taps = self._kernel(2 * size)[1:]
                y = self._convolved(_part(past, t - size, size), taps, (size - 1, size - 1))
                return _put(later, _part(later, t, size) + y, t)

            later = lax.cond(t & -t == size, square, lambda past, later: later, past, later)
        return later

    def _kernel(self, taps: int) -> Array:
        """The first taps, or all and zeros."""
        return jnp.pad(self.kernel[:taps], ((0, max(0, taps - len(self.kernel))), (0, 0)))

    def _convolved(self, x: Array, taps: Array, padding: tuple[int, int]) -> Array:
        return ops.conv(
            x,
            taps[:, None].astype(x.dtype),
            padding=[padding],
            groups=x.shape[-1],
            flip=True,
            algorithm=self.algorithm,
        )


def _part(a: Array, start: Array, size: int) -> Array:
    """Positions of `(*batch, n, c)`."""
    return lax.dynamic_slice_in_dim(a, start, size, a.ndim - 2)


def _put(a: Array, part: Array, start: Array) -> Array:
    """The same with these positions in the place of others."""
    return lax.dynamic_update_slice_in_dim(a, part, start, a.ndim - 2)
