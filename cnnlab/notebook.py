"""cnnlab in a notebook: its errors in one line, its progress in the cell's own output."""

import html
import math
import sys
import time
from types import TracebackType
from typing import Any

from cnnlab.errors import CnnlabError

_PAUSE = 0.1  # seconds between two changes of a bar


def shell() -> Any:
    """IPython's shell where there is one, in a notebook or in a terminal; None elsewhere."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def one_line_errors() -> None:
    """What a user can mend is said in a line; `%tb` shows the traceback.

    Nothing is changed where there is no IPython, or where the user has such a rule of his own.
    """
    at_work = shell()
    if at_work is not None and not at_work.custom_exceptions:
        at_work.set_custom_exc((CnnlabError,), _say)


def _say(
    at_work: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # for %tb and %debug
    at_work._showtraceback(kind, error, [f"{kind.__name__}: {error}"])


class CellBar:
    """A bar in the output of the cell at work: one output, however often it changes."""

    def __init__(self, unit: str) -> None:
        self._unit, self._shown = unit, -math.inf
        self._handle: Any = None

    @staticmethod
    def possible() -> bool:
        """Whether this is the kernel of a notebook."""
        return hasattr(shell(), "kernel")

    def show(self, done: int, total: int, text: str, *, last: bool = False) -> None:
        """Bring it up to date, unless that was a moment ago and this is not the `last` time."""
        from IPython.display import display

        now = time.monotonic()
        if now - self._shown < _PAUSE and not last:
            return
        line, self._shown = f"{self._unit} {done}/{total}  {text}".strip(), now
        bar = f'<progress value="{done}" max="{total}"></progress>'
        content = {"text/plain": line, "text/html": f"{bar} {html.escape(line)}"}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
