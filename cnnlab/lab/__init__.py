"""The lab book's frame: what a question is made of, how it is asked, how its answer is shown."""

from cnnlab.lab.answer import answer, answered, command, directory_of
from cnnlab.lab.baseline import beats, logistic_regression
from cnnlab.lab.cells import Cells
from cnnlab.lab.comparison import compare
from cnnlab.lab.drawing import curve, half_interval, log_axes, panels, picture
from cnnlab.lab.estimates import Estimate, estimate, lead, paired, percent, proportion, slope
from cnnlab.lab.keeping import keep, kept, names_kept
from cnnlab.lab.kinds import Count, Counts, DataSet, Limit, Plan, Positive, Rates, Sizes, Widths
from cnnlab.lab.page import Answer, brief, by_reason, markdown, page
from cnnlab.lab.question import Claim, Question, Rows, Table
from cnnlab.lab.records import Records, pack, unpack
from cnnlab.lab.replication import Replication, replicated
from cnnlab.lab.runs import Comparison, compare_runs
from cnnlab.lab.study import Study, Trained, best_rate, classes_of, configured, read_data, tuned
from cnnlab.lab.tokens import fit_tokens, token_accuracy
from cnnlab.lab.verdict import (
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    Quantity,
    Verdict,
    all_of,
    any_of,
    at_least,
    at_most,
    between,
    exact,
    none_of,
    reproduced,
)

__all__ = [
    "FAILS",
    "HOLDS",
    "INCONCLUSIVE",
    "Answer",
    "Cells",
    "Claim",
    "Comparison",
    "Count",
    "Counts",
    "DataSet",
    "Estimate",
    "Limit",
    "Plan",
    "Positive",
    "Quantity",
    "Question",
    "Rates",
    "Records",
    "Replication",
    "Rows",
    "Sizes",
    "Study",
    "Table",
    "Trained",
    "Verdict",
    "Widths",
    "all_of",
    "answer",
    "answered",
    "any_of",
    "at_least",
    "at_most",
    "beats",
    "best_rate",
    "between",
    "brief",
    "by_reason",
    "classes_of",
    "command",
    "compare",
    "compare_runs",
    "configured",
    "curve",
    "directory_of",
    "estimate",
    "exact",
    "fit_tokens",
    "half_interval",
    "keep",
    "kept",
    "lead",
    "log_axes",
    "logistic_regression",
    "markdown",
    "names_kept",
    "none_of",
    "pack",
    "page",
    "paired",
    "panels",
    "percent",
    "picture",
    "proportion",
    "read_data",
    "replicated",
    "reproduced",
    "slope",
    "token_accuracy",
    "tuned",
    "unpack",
]
