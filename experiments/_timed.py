"""The routes to one convolution timed side by side, several times over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnnlab.analysis.timing import interleaved, median
from cnnlab.ops.problem import Problem
from experiments import _contenders as routes

# Of cnnlab's names: choices among the algorithms, which are timed themselves.
_CHOICES = ("auto", routes.PORTABLE)

More = Callable[[Problem, routes.Arrays], Mapping[str, routes.Contender]]


def timed(
    problem: Problem,
    *,
    repeats: int,
    seconds: float,
    seed: int,
    peers: Sequence[str] = (),
    leave_out: Callable[[str, Problem], bool] = lambda name, problem: False,
    more: More = lambda problem, arrays: {},
) -> dict[str, Any]:
    """Median seconds of a forward pass by every route that computes what lax does.

    The routes take turns within each of the repetitions, each of which gives one median.

    **Arguments:**

    - `seconds`: of the calls of each route in each repetition, but at least 3 calls.
    - `peers`: as `_contenders.contenders` takes them; `more`: further routes.
    - `leave_out`: algorithms that are not worth compiling, beside those of `tuning.hopeless`.

    **Returns:** `{"repeats": [{route: seconds}], "wrong": {route: error}}`.
    """
    arrays = routes.draw(problem, seed)
    names, _ = routes.selected(problem, None)
    names = [name for name in names if not leave_out(name, problem)]
    found = routes.contenders(problem, arrays, names, peers)
    found = {n: c for n, c in found.items() if n not in _CHOICES} | dict(more(problem, arrays))
    expected = found[routes.REFERENCE].result("forward")
    errors = {n: routes.error(c.result("forward"), expected) for n, c in found.items()}
    wrong = {n: str(e) for n, e in errors.items() if not e <= found[n].tolerance}
    right = {n: c.run["forward"] for n, c in found.items() if n not in wrong}
    rounds = [
        {n: median(times) for n, times in interleaved(right, seconds=seconds, warm=True).items()}
        for _ in range(repeats)
    ]
    return {"repeats": rounds, "wrong": wrong}
