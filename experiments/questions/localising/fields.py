"""How local the weights of hidden units are, their receptive fields, and how alike."""

import numpy as np
from jaxtyping import Bool, Float

# Times what the weights of a Gaussian vector are concentrated: local.
LOCAL = 2.0
Fields = Float[np.ndarray, "k n"]


def concentration(fields: Fields) -> Float[np.ndarray, " k"]:
    """n times the inverse participation ratio: 1 for equal weights, about 3 for Gaussian ones, n
    for a single weight; n over it is the number of pixels that a field is spread over."""
    square = np.square(np.asarray(fields, np.float64))
    return fields.shape[1] * np.square(square).sum(1) / np.square(square.sum(1))


def local(fields: Fields) -> Bool[np.ndarray, " k"]:
    """Which units' fields are local."""
    return concentration(fields) >= 3 * LOCAL


def covered(fields: Fields) -> float:
    """The share of pixels at which one of the fields has half its largest weight, or more."""
    size = np.abs(fields)
    return float((2 * size >= size.max(1, keepdims=True)).any(0).mean())


def alike(fields: Fields) -> float:
    """How far fields on a ring are one field moved: the mean over pairs of the largest absolute
    cosine of one and the other moved by any number of pixels; 0 of fewer than two."""
    if len(fields) < 2:
        return 0.0
    unit = fields / np.linalg.norm(fields, axis=1, keepdims=True)
    spectrum = np.fft.rfft(unit)
    cosines = np.fft.irfft(spectrum[:, None] * spectrum[None].conj(), fields.shape[1])
    return float(np.abs(cosines).max(-1)[np.triu_indices(len(fields), 1)].mean())


def moved(images: Float[np.ndarray, "k h w"], by: int) -> float:
    """The mean cosine of fields on images and themselves moved by some pixels, down or across."""
    of = lambda axis: (images * np.roll(images, by, axis)).sum((1, 2))
    return float(((of(1) + of(2)) / 2 / np.square(images).sum((1, 2))).mean())
