"""What the tests of the questions' judges do with made-up data."""

import copy


def changed(data, path, value):
    """A copy of the data with another value at the place that `path` leads to."""
    data = copy.deepcopy(data)
    *way, last = path
    place = data
    for step in way:
        place = place[step]
    place[last] = value
    return data
