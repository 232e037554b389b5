"""What networks are to beat before anything is said of them: logistic regression on raw images."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data import Dataset, Split
from cnnlab.lab.estimates import Estimate, Number
from cnnlab.lab.verdict import Verdict, at_least


def logistic_regression(data: Dataset, *, seed: int = 0, most: int = 20_000) -> float:
    """The test accuracy of logistic regression (scikit-learn's, regularised as it is by default) on
    the pixels, each of mean 0 and deviation 1.

    **Arguments:** `most`, training examples: so many random ones, by the seed, where there are
    more (all 57,000 of Fashion-MNIST take minutes, and gain less than a point).
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def flat(split: Split) -> tuple[np.ndarray, np.ndarray]:
        memory = split.in_memory()
        images = np.asarray(memory.image, np.float32)
        return images.reshape(len(images), -1), np.asarray(memory.label)

    images, labels = flat(data.train)
    some = np.random.default_rng(seed).permutation(len(images))[:most]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=100))
    with warnings.catch_warnings():
        # A hundred rounds are where its test accuracy no longer grows, though its weights do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(images[some], labels[some])
    return float(model.score(*flat(data.test)))


def beats(
    arms: Mapping[str, Estimate], baseline: Number, name: str = "logistic regression"
) -> dict[str, Verdict]:
    """Of every arm, whether its mean, in points, is above a baseline's."""
    what = f"{{}}, to beat {name}".format
    return {arm: at_least(found.mean, baseline, what(arm)) for arm, found in arms.items()}
