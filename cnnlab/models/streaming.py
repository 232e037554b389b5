"""Causal models position by position, exactly."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from cnnlab.arguments import having, positive_int
from cnnlab.models import reach
from cnnlab.models.trace import position
from cnnlab.nn.memory import Carry, Memory, Pooled


class Stream(eqx.Module):
    """A trained model that gives each position's output when it has that position's input: what the
    model gives of the whole sequence, at a fraction of a run of all that came before.

        stream = model.stream(state, length=4096)
        carry, logits = stream.prompt(x)              # (*batch, n, c) -> (*batch, n, classes)
        carry, logits = stream.step(carry, next_x)    # (*batch, c) -> (*batch, classes)

    `step` is for loops under `jit` (`lax.scan`), in which the past stays where it is: a step that
    is called by itself copies it, unless the carry is donated. Batches are leading axes: under
    `vmap` every step would take the time of the longest.

    A model with one output for the whole, by a pool over all positions, gives with each position
    what it gives of the sequence up to there, `(*batch, n, classes)` of a prompt, too.

    Layers that look back are replaced by what they keep of the past, their `memory`; that all else
    treats each position by itself is seen from the model's program. Layers within a loop or a
    `vmap` of the model's own can't be replaced.
    """

    model: PyTree
    state: eqx.nn.State | None
    in_shape: tuple[int, ...] = eqx.field(static=True)
    length: int = eqx.field(static=True)

    def __init__(
        self, model: PyTree, state: eqx.nn.State | None = None, *, length: int | None = None
    ):
        """**Arguments:**

        - `model`: a model of sequences, `(*batch, n, c)` or tokens `(*batch, n)`, with its
          `in_shape`; dropout is switched off and running statistics are used.
        - `state`: its state: `model(x, state)` gives `(y, state)`.
        - `length`: positions that it may be run for, the prompt's included; by default those of
          `in_shape`. Results beyond are NaN.

        **Raises:** `ValueError`: in one line, for a model whose outputs see later inputs, or all of
        them, or are not one for each input.
        """
        self.in_shape = tuple(having("model", model, "a model of sequences", "in_shape").in_shape)
        if len(self.in_shape) > 2:
            raise ValueError(
                f"model: expected one of sequences (n, c), got in_shape {self.in_shape}"
            )
        self.length = positive_int("length", self.in_shape[0] if length is None else length)
        self.state = state

        def replace(path: tuple, node: Any) -> Any:
            if not _remembers(node):
                return node
            try:
                return _Played(node, eqx.filter_jit(type(node).memory)(node, self.length))
            except ValueError as error:
                raise ValueError(f"model{jtu.keystr(path)}: {error}") from None

        model = eqx.nn.inference_mode(model)
        self.model = jtu.tree_map_with_path(replace, model, is_leaf=_remembers)
        self._check()

    def prompt(self, x: Shaped[Array, "..."]) -> tuple[Carry, Float[Array, "*dims n classes"]]:
        """The first positions at once, from none on: `(*batch, n, c)` or tokens `(*batch, n)`.

        **Returns:** what to go on from, and their outputs.

        **Raises:** `ValueError`: it is longer than `length`.
        """
        axis = x.ndim - len(self.in_shape)
        n = x.shape[axis]
        if n > self.length:
            raise ValueError(f"x: expected at most length={self.length} positions, got {n}")
        if n == 0:  # all carries begin as zeros
            like = jax.ShapeDtypeStruct((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
            carry, y = jax.tree.map(
                lambda a: jnp.zeros(a.shape, a.dtype), eqx.filter_eval_shape(self.prompt, like)
            )
            return carry, y[..., :0, :]
        carries: list[Carry] = []

        def start(played: _Played, x: Array) -> Array:
            carry, y = played.memory.start(played.layer, x)
            carries.append(carry)
            return y

        y = self._run(start, x)
        return tuple(carries), y

    def step(
        self, carry: Carry, x: Shaped[Array, "..."]
    ) -> tuple[Carry, Float[Array, "*dims classes"]]:
        """The next position, `(*batch, c)` or a token `(*batch,)`: what to go on from, and its
        output."""
        before, after = iter(carry), []

        def step(played: _Played, x: Array) -> Array:
            carry, y = played.memory.step(next(before), x[..., 0, :])
            after.append(carry)
            return y[..., None, :]

        y = self._run(step, jnp.expand_dims(x, x.ndim + 1 - len(self.in_shape)))
        return tuple(after), y[..., 0, :]

    def steps(
        self, carry: Carry, x: Shaped[Array, "..."]
    ) -> tuple[Carry, Float[Array, "*dims m classes"]]:
        """The next m positions, one after another: `(*batch, m, c)` or tokens `(*batch, m)`."""
        xs = jnp.moveaxis(x, x.ndim - len(self.in_shape), 0)
        carry, ys = lax.scan(lambda carry, x: self.step(carry, x), carry, xs)
        return carry, jnp.moveaxis(ys, 0, -2)

    def generate(
        self,
        prompt: Int[Array, "*batch n"],
        steps: int,
        *,
        key: PRNGKeyArray,
        temperature: float = 1.0,
        encode: Callable[[Array], Array] = lambda tokens: tokens,
    ) -> Int[Array, "*batch steps"]:
        """Tokens drawn one after another, each from the model's scores of the next token.

        **Arguments:**

        - `prompt`: tokens, at least one.
        - `temperature`: scores are divided by it; 0 takes the largest.
        - `encode`: `tokens (...) -> (..., c)`, where the model takes numbers: `lambda t:
          jax.nn.one_hot(t, c)`.

        **Raises:** `ValueError`: an empty prompt, more steps than `length` has room for, or a
        negative temperature.
        """
        n, steps = prompt.shape[-1], positive_int("steps", steps)
        if n == 0:
            raise ValueError("prompt: expected at least one token")
        if n + steps - 1 > self.length:
            raise ValueError(f"steps: expected at most length={self.length} - {n}, got {steps}")
        if not temperature >= 0:
            raise ValueError(f"temperature: expected a number of at least 0, got {temperature}")

        def draw(loop: tuple[Carry, Array], key: PRNGKeyArray) -> tuple[tuple[Carry, Array], Array]:
            carry, scores = loop
            if temperature > 0:
                token = jr.categorical(key, scores / temperature)
            else:
                token = jnp.argmax(scores, -1)
            token = token.astype(prompt.dtype)
            return self.step(carry, encode(token)), token

        carry, scores = self.prompt(encode(prompt))
        _, tokens = lax.scan(draw, (carry, scores[..., -1, :]), jr.split(key, steps))
        return jnp.moveaxis(tokens, 0, -1)

    def _run(self, play: "Play", x: Array) -> Array:
        """The model's output, where `play` computes what its layers with a memory stand for."""
        wrap = lambda node: _Played(node.layer, node.memory, play) if _is_played(node) else node
        model = jax.tree.map(wrap, self.model, is_leaf=_is_played)
        return model(x) if self.state is None else model(x, self.state)[0]

    def _check(self) -> None:
        """That all but the memories treats each position by itself, and that what a pool gives is
        not pooled or looked back on again: it would be that of other positions."""
        order: list[Memory] = []

        def apart(played: _Played, x: Array) -> Array:
            order.append(played.memory)
            y = jax.eval_shape(lambda x: played.memory.start(played.layer, x)[1], x)
            return jnp.broadcast_to(x.sum(-1, keepdims=True), y.shape)

        def whole(played: _Played, x: Array) -> Array:
            return played.layer(x) if isinstance(played.memory, Pooled) else apart(played, x)

        shape = 1, min(8, self.length), *self.in_shape[1:]
        like = jax.ShapeDtypeStruct(shape, jnp.int32 if len(shape) == 2 else jnp.float32)
        run = lambda stream, play, x: stream._run(play, x)
        try:
            program = eqx.filter_make_jaxpr(run)(self, apart, like)[0].jaxpr
        except ValueError as error:
            raise ValueError(f"model: expected one of any number of positions: {error}") from None
        pools = [isinstance(memory, Pooled) for memory in order]
        if any(pools) and (
            any(pools[:-1]) or eqx.filter_eval_shape(run, self, whole, like).ndim > 2
        ):
            raise ValueError(
                "model: expected a pool over all positions to be the last layer that looks back, "
                "and one output for the whole"
            )
        *others, _ = program.invars
        constants = [reach.constant(v.aval.shape, 1) for v in others]
        (found,) = reach.follow(program, [*constants, reach.given(shape, [1])])
        if len(found.shape) != 3 or found.shape[1] != shape[1]:
            raise ValueError(
                "model: expected an output for each position, as of a head of positions "
                f"(ConvHead(pool='none')), got {found.shape[1:]} for an input {shape[1:]}"
            )
        if position(found) != ((1,), (1,), (0,)):
            raise ValueError(
                "model: expected layers that are causal or see one position, but an output sees "
                f"{position(found).size} positions beside what its convolutions look back to"
            )


class _Played(eqx.Module):
    """Stands for a layer, in whose place `play` computes."""

    layer: Any
    memory: Memory
    play: "Play | None" = eqx.field(static=True, default=None)

    def __call__(self, x: Array, *, key: PRNGKeyArray | None = None) -> Array:
        del key
        assert self.play is not None
        return self.play(self, x)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("layer", "memory", "play"):
            raise AttributeError(name)
        return getattr(self.layer, name)


Play: TypeAlias = Callable[[_Played, Array], Array]


def _is_played(node: object) -> TypeGuard[_Played]:
    return isinstance(node, _Played)


def _remembers(node: object) -> bool:
    return isinstance(node, eqx.Module) and callable(getattr(type(node), "memory", None))
