"""Signal and noise of gradients that are sums of random parts. Pure numpy.

In: a gradient of each episode. Out: how much of it all episodes share.
Shape letters: E episodes, W numbers of a gradient or of what stands for it.
"""

from dataclasses import dataclass

import numpy as np

NUM_HALVES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Each with its standard deviation over random halves of the episodes."""

    signal_to_noise: float
    """Of one episode: mean of g·g' over pairs, divided by the mean of g·g."""
    signal_to_noise_sd: float
    gain: float
    """Mean of g·g' over pairs of which g' is unbiased, over the root of the mean of g·g."""
    gain_sd: float


def figures(gradients_EW: np.ndarray, unbiased_EW: np.ndarray) -> Figures:
    number = len(gradients_EW)
    products_EE, unbiased_EE = gradients_EW @ gradients_EW.T, gradients_EW @ unbiased_EW.T
    noise = np.trace(products_EE) / number
    generator = np.random.default_rng(0)
    halves = [generator.permutation(number)[: number // 2] for _ in range(NUM_HALVES)]
    return Figures(
        signal_to_noise=float(mean_of_pairs(products_EE) / noise),
        signal_to_noise_sd=_spread(products_EE, halves) / noise,
        gain=float(mean_of_pairs(unbiased_EE) / np.sqrt(noise)),
        gain_sd=_spread(unbiased_EE, halves) / np.sqrt(noise),
    )


def mean_of_pairs(products_EE: np.ndarray) -> float:
    """Mean over pairs of different episodes, whose random parts agree as often as not."""
    number = len(products_EE)
    return float((products_EE.sum() - np.trace(products_EE)) / (number * (number - 1)))


def _spread(products_EE: np.ndarray, halves: list[np.ndarray]) -> float:
    return float(np.std([mean_of_pairs(products_EE[np.ix_(half, half)]) for half in halves]))


class Sketch:
    """Makes long vectors short so that inner products stay right on average: every number is added, with a
    random sign, to one of W.
    """

    def __init__(self, length: int, width: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self._width = width
        self._place = generator.integers(0, width, length)
        self._sign = generator.choice([-1.0, 1.0], length)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """(W,)."""
        return np.bincount(self._place, vector * self._sign, self._width)
