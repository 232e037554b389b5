"""Kinds of settings that many questions have; `cnnlab.config.kinds` knows the phrases.

def measure(cells, *, seeds: Annotated[Count, "networks of each kind"] = 3): ...
"""

from collections.abc import Sequence
from typing import Annotated

Count = Annotated[int, "whole number >= 1"]
Counts = Annotated[Sequence[int], "list of at least 1 whole numbers >= 1"]
Sizes = Annotated[Sequence[int], "increasing list of at least 2 whole numbers >= 1"]
Widths = Annotated[Sequence[int], "list of whole numbers >= 1"]
Limit = Annotated[int | None, "whole number >= 1 or null"]
Positive = Annotated[float, "number > 0"]
Rates = Annotated[Sequence[float], "list of at least 1 different numbers > 0"]
Plan = Annotated[Sequence[int | str], "list of at least 1 channel counts > 0 and 'M'"]
DataSet = Annotated[
    str,
    "one of cifar10, cifar100, digits, fake, fashion_mnist, mnist, mnist1d, quadratic, "
    "svhn_cropped",
]
