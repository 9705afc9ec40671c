"""A number over the updates of a run, in constant memory however long the run gets.

In: pairs (update, value), in any order. Out: at most as many points as a chart can show, each with mean,
lowest, highest and how many values it stands for.
"""

from dataclasses import dataclass

import numpy as np

NUM_BUCKETS = 1024
"""Kept per series. A run with more updates has several in a bucket: 1, 2, 4, ..."""


@dataclass(frozen=True, slots=True)
class Points:
    """Buckets that hold something, oldest first; all arrays are alike long."""

    update: np.ndarray
    """First update of the bucket."""
    total: np.ndarray
    count: np.ndarray
    squares: np.ndarray
    """Sum of the squared values."""
    low: np.ndarray
    high: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count

    @property
    def mean_error(self) -> np.ndarray:
        """Standard error of the mean: sqrt((mean of squares - square of mean) / n)."""
        variance = self.squares / self.count - self.mean**2
        return np.sqrt(np.maximum(variance, 0.0) / self.count)


class Series:
    """Sums over buckets of updates; when they run out, neighbours are joined and each is twice as wide."""

    def __init__(self) -> None:
        self.width = 1
        self._total = np.zeros(NUM_BUCKETS)
        self._squares = np.zeros(NUM_BUCKETS)
        self._count = np.zeros(NUM_BUCKETS, np.int64)
        self._low = np.full(NUM_BUCKETS, np.inf)
        self._high = np.full(NUM_BUCKETS, -np.inf)

    def extend(self, updates: np.ndarray, values: np.ndarray) -> None:
        """Add values; those that are not finite are left out."""
        finite = np.isfinite(values)
        updates, values = updates[finite], values[finite]
        if not len(updates):
            return
        while updates.max() // self.width >= NUM_BUCKETS:
            self._join()
        buckets = updates // self.width
        np.add.at(self._total, buckets, values)
        np.add.at(self._squares, buckets, values**2)
        np.add.at(self._count, buckets, 1)
        np.minimum.at(self._low, buckets, values)
        np.maximum.at(self._high, buckets, values)

    def points(self, at_most: int) -> Points:
        """Neighbouring buckets joined until there are few enough."""
        used = np.flatnonzero(self._count)
        if not len(used):
            return Points(*(np.zeros(0) for _ in range(6)))
        joined = -(-(int(used[-1]) + 1) // at_most)
        sums = self._joined(joined)
        there = np.flatnonzero(sums[1])
        return Points(there * joined * self.width, *(array[there] for array in sums))

    def _join(self) -> None:
        self.width *= 2
        half = NUM_BUCKETS // 2
        total, count, squares, low, high = self._joined(2)
        self._total[:half], self._total[half:] = total, 0.0
        self._count[:half], self._count[half:] = count, 0
        self._squares[:half], self._squares[half:] = squares, 0.0
        self._low[:half], self._low[half:] = low, np.inf
        self._high[:half], self._high[half:] = high, -np.inf

    def _joined(self, number: int) -> tuple[np.ndarray, ...]:
        """The arrays of `Points`, in its order, each `number` neighbours together."""
        starts = np.arange(0, NUM_BUCKETS, number)
        return (
            np.add.reduceat(self._total, starts),
            np.add.reduceat(self._count, starts),
            np.add.reduceat(self._squares, starts),
            np.minimum.reduceat(self._low, starts),
            np.maximum.reduceat(self._high, starts),
        )
