"""Forests and support vector machines against MLPs, on tables (A 1.1)."""

import dataclasses
import importlib.util
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Records, Verdict

SCIKIT_LEARN = ("iris", "wine", "breast_cancer", "digits")
RIVER = {"phishing": "Phishing", "segments": "ImageSegments", "bananas": "Bananas"}
TABLES = (*SCIKIT_LEARN, *RIVER)
MLP, FOREST, SVM, LINEAR = "MLP", "random forest", "SVM", "logistic regression"
TEST = 0.25  # of the examples
POINT = 1.0  # of accuracy: less is as accurate
LESS = "a lead over MLPs of less than a point"
Tables = Annotated[Sequence[str], f"some of {', '.join(TABLES)}"]

question = lab.Question(
    "tabular",
    "Are MLPs outperformed on tables by forests and support vector machines?",
    note="The tables are those that come with scikit-learn and with river: small and clean ones; "
    "digits are 8x8 images, whose geometry nobody is told. All models are scikit-learn's, the "
    "settings of each chosen on folds of the training part alone (an MLP's width, depth and "
    "learning rate). Splits of one table overlap: the intervals are as much wider as Nadeau and "
    "Bengio (2003) say, and are about other splits of these tables. What is true of other tables, "
    "they do not say; nor can a table of 150 examples tell a point of accuracy, so that all claims "
    "are about the mean of the tables.",
)


@question.check
def check(tables: Tables) -> None:
    """The package whose tables are asked for is installed."""
    if set(tables) & set(RIVER) and importlib.util.find_spec("river") is None:
        raise ConfigError(
            "tables: river is not installed; get it with: pip install 'cnnlab[book]', or ask for "
            f"some of {', '.join(SCIKIT_LEARN)}"
        )


@question.measure(full={"splits": 20, "trees": 300, "epochs": 400})
def measure(
    cells: Cells,
    *,
    seed: int,
    tables: Tables = TABLES,
    splits: Annotated[Count, "of each table into examples to train on and to test"] = 10,
    trees: Annotated[Count, "of a forest"] = 100,
    epochs: Annotated[Count, "of an MLP, at most"] = 200,
) -> dict[str, Any]:
    """The test accuracy of each model on each split of each table."""
    compute = lambda table, split: list(accuracies(table, split, trees, epochs))
    several = range(seed, seed + splits)
    return {"found": cells.records("accuracies", compute, table=tables, split=several)}


class Model(NamedTuple):
    """What makes a model, and the settings among which it has the best."""

    make: Callable[[], Any]
    grid: dict[str, list[Any]]


def models(seed: int, trees: int, epochs: int) -> dict[str, Model]:
    """By name, each with about as many settings to choose from."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    return {
        MLP: Model(
            lambda: MLPClassifier(max_iter=epochs, random_state=seed),
            {"hidden_layer_sizes": [(64,), (64, 64)], "learning_rate_init": [1e-3, 1e-2]},
        ),
        FOREST: Model(
            lambda: RandomForestClassifier(trees, random_state=seed),
            {"max_features": ["sqrt", 0.5], "min_samples_leaf": [1, 3]},
        ),
        SVM: Model(SVC, {"C": [1, 10, 100], "gamma": ["scale", 0.01]}),
        LINEAR: Model(lambda: LogisticRegression(max_iter=1000), {"C": [0.1, 1, 10]}),
    }


def load(table: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns `(examples, columns)`, and the classes `(examples,)` as whole numbers."""
    if table in RIVER:
        import river.datasets

        rows, classes = zip(*getattr(river.datasets, RIVER[table])(), strict=True)
        columns = sorted({name for row in rows for name in row})
        x = np.array([[row.get(name, 0.0) for name in columns] for row in rows], float)
        return x, np.unique(classes, return_inverse=True)[1]
    from sklearn import datasets

    return getattr(datasets, f"load_{table}")(return_X_y=True)


def accuracies(table: str, split: int, trees: int, epochs: int) -> list[dict[str, Any]]:
    """In percent, of each model and of the most frequent class, on a stratified part of a table."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = load(table)
    x, x_test, y, y_test = train_test_split(x, y, test_size=TEST, stratify=y, random_state=split)
    size = {"examples": len(y) + len(y_test), "columns": x.shape[1]}
    frequent = 100 * float((y_test == np.bincount(y).argmax()).mean())
    rows = []
    for name, model in models(split, trees, epochs).items():
        scaled = make_pipeline(StandardScaler(), model.make())
        grid = {f"{scaled.steps[-1][0]}__{key}": values for key, values in model.grid.items()}
        with warnings.catch_warnings():
            # A network of some setting may not be done; it is then chosen, or not, as it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            best = GridSearchCV(scaled, grid, cv=3).fit(x, y)
        accuracy = 100 * float(best.score(x_test, y_test))
        rows.append({"model": name, "accuracy": accuracy, "frequent": frequent, **size})
    return rows


def ahead(found: Records, model: str, than: str, table: str | None = None) -> lab.Estimate:
    """Points by which one model leads over another, on a table or in the mean of them, splits
    paired; the interval is for splits that overlap: their variance of the mean is not v / n, but
    v (1 / n + test / training examples), of which no n is enough for any limit: none is told."""
    rows = found if table is None else found.where(table=table)
    mean = lambda of: [lab.estimate(a).mean for a in of.by("split", of="accuracy").values()]
    e = lab.paired(mean(rows.where(model=model)), mean(rows.where(model=than)))
    if not math.isfinite(e.low):
        return e
    half = (e.high - e.mean) * math.sqrt(1 + e.n * TEST / (1 - TEST))
    return dataclasses.replace(e, deviation=math.inf, low=e.mean - half, high=e.mean + half)


@question.learnt
def learnt(found: Records) -> dict[str, Verdict]:
    """Of each table, whether its MLPs say more than its most frequent class."""
    arms: dict[str, Verdict] = {}
    for table, rows in found.where(model=MLP).by("table").items():
        frequent = lab.estimate(rows["frequent"]).mean
        arms |= lab.beats({table: lab.estimate(rows["accuracy"])}, frequent, "the frequent class")
    return arms


@question.answer
def answer(found: Records) -> str:
    points = lambda model: f"{model} {ahead(found, model, MLP).mean:+.1f}"
    of = len(found.by("table"))
    return (
        f"Points of accuracy by which they are ahead of an MLP, in the mean of {of} tables: "
        f"{points(FOREST)}, {points(SVM)}, {points(LINEAR)}."
    )


def outperformed(found: Records, model: str) -> Verdict:
    what = f"{model} - MLP in points, mean of {len(found.by('table'))} tables"
    return lab.at_least(ahead(found, model, MLP), POINT, what)


@question.claim("A 1.1", LESS)
def forests(found: Records) -> Verdict:
    """On tabular data MLPs are outperformed by random forests, read as: by a point or more in the
    mean of the tables."""
    return outperformed(found, FOREST)


@question.claim("A 1.1", LESS)
def machines(found: Records) -> Verdict:
    """On tabular data MLPs are outperformed by well-tuned SVMs, read as: by a point or more in the
    mean of the tables."""
    return outperformed(found, SVM)


@question.claim("A 1.1", "an MLP more than a point behind in the mean of the tables")
def default(found: Records) -> Verdict:
    """Fully-connected layers are a flexible default for tabular data: in the mean of the tables an
    MLP is at most a point behind logistic regression."""
    what = f"MLP - linear in points, mean of {len(found.by('table'))} tables"
    return lab.at_least(ahead(found, MLP, LINEAR), -POINT, what)


@question.table
def by_table(found: Records) -> lab.Rows:
    """Test accuracy in %, mean and deviation over the splits"""
    for table, rows in found.by("table").items():
        yield {
            "table": table, "examples": f"{rows['examples'][0]:,}", "columns": rows["columns"][0],
            **{m: f"{lab.estimate(of):.1f}" for m, of in rows.by("model", of="accuracy").items()},
            "splits": len(rows.by("split")),
        }  # fmt: skip


@question.figure(6, 3.6)
def leads(figure: Figure, found: Records) -> None:
    """Points by which each model is ahead of the MLP, with 95 % intervals."""
    axes = figure.subplots()
    tables = [*found.by("table"), None]
    names = [name or "mean" for name in tables]
    for i, model in enumerate((FOREST, SVM, LINEAR)):
        e = [ahead(found, model, MLP, table) for table in tables]
        half = [lab.half_interval(one) for one in e]
        places = np.arange(len(tables)) + 0.15 * (i - 1)
        axes.errorbar(places, [one.mean for one in e], half, fmt="o", capsize=3, label=model)
    axes.axhline(0, color="grey", lw=0.8)
    axes.set_xticks(range(len(tables)), names)
    axes.set_ylabel("lead over the MLP, points")
    axes.legend()


main = lab.command(question)

if __name__ == "__main__":
    main()
