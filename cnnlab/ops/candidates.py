"""Which algorithms could compute one convolution, at what cost, and which `auto` takes."""

import jax

from cnnlab.display import View
from cnnlab.ops.algorithms import PASSES, REGISTRY, Pass
from cnnlab.ops.choice import automatic, serving
from cnnlab.ops.problem import Problem


class Candidates(list[str]):
    """Names of the algorithms that can serve, first the one `auto` takes for the forward pass.

    - `auto`, `direct`: what these take for each pass on the default platform.
    - `refused`: for every other algorithm, why it cannot serve.
    """

    def __init__(self, problem: Problem):
        platform = jax.default_backend()
        self.problem = problem
        self.auto: dict[Pass, str] = {p: automatic(problem, p, platform) for p in PASSES}
        self.direct: dict[Pass, str] = {
            p: automatic(problem, p, platform, only_direct=True) for p in PASSES
        }
        first = self.auto["forward"]
        super().__init__([first, *(name for name in serving(problem) if name != first)])
        reasons = {name: a.refusal(problem) for name, a in REGISTRY.items() if name not in self}
        self.refused: dict[str, str] = {name: reason for name, reason in reasons.items() if reason}

    def __str__(self) -> str:
        """A line an algorithm: its costs, its source, what its errors are relative to, and the
        passes that `auto` and `direct` take it for."""
        lines = []
        for name in self:
            algorithm = REGISTRY[name]
            taken = "".join(f"  <- {words}" for words in self._taken(name))
            lines.append(
                f"{name:<16} {algorithm.multiply_adds(self.problem):>16,} multiply-adds "
                f"{self._megabytes(name):>9,.1f} MiB extra  {algorithm.source}; errors relative to "
                f"{algorithm.errors}{taken}"
            )
        lines += [f"{name:<16} no: {reason}" for name, reason in self.refused.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same as a notebook's table."""
        rows: list[tuple[object, ...]] = [
            ("algorithm", "taken by", "source", "errors relative to", "multiply-adds", "MiB extra")
        ]
        for name in self:
            about = REGISTRY[name]
            costs = f"{about.multiply_adds(self.problem):,}", f"{self._megabytes(name):,.1f}"
            rows.append((name, "; ".join(self._taken(name)), about.source, about.errors, *costs))
        notes = [f"{name}: no, {reason}" for name, reason in self.refused.items()]
        return View(table=rows, names=4, notes=notes).html()

    def _taken(self, name: str) -> list[str]:
        """What takes an algorithm, for which passes."""
        return [
            f"{asked}: {', '.join(p.replace('_', ' ') for p in passes)}"
            for asked in ("auto", "direct")
            if (passes := [p for p in PASSES if getattr(self, asked)[p] == name])
        ]

    def _megabytes(self, name: str) -> float:
        return REGISTRY[name].extra_memory(self.problem) / 2**20
