"""The lab book's frame: what a question is made of, how it is asked, how its answer is shown."""

from cnnlab.lab.answer import answer, command, directory_of
from cnnlab.lab.cells import Cells
from cnnlab.lab.comparison import compare
from cnnlab.lab.drawing import curve, half_interval, log_axes, panels, picture
from cnnlab.lab.kinds import Count, Counts, DataSet, Limit, Plan, Positive
from cnnlab.lab.page import markdown, page
from cnnlab.lab.question import Claim, Question, Rows, Table
from cnnlab.lab.records import Records
from cnnlab.lab.study import Study, Trained, classes_of, configured, read_data
from cnnlab.lab.verdict import (
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    Estimate,
    Verdict,
    all_of,
    at_least,
    at_most,
    between,
    estimate,
    exact,
    none_of,
    paired,
    percent,
    proportion,
    slope,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "INCONCLUSIVE",
    "Cells",
    "Claim",
    "Count",
    "Counts",
    "DataSet",
    "Estimate",
    "Limit",
    "Plan",
    "Positive",
    "Question",
    "Records",
    "Rows",
    "Study",
    "Table",
    "Trained",
    "Verdict",
    "all_of",
    "answer",
    "at_least",
    "at_most",
    "between",
    "classes_of",
    "command",
    "compare",
    "configured",
    "curve",
    "directory_of",
    "estimate",
    "exact",
    "half_interval",
    "log_axes",
    "markdown",
    "none_of",
    "page",
    "paired",
    "panels",
    "percent",
    "picture",
    "proportion",
    "read_data",
    "slope",
]
