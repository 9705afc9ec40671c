"""What a run's `metrics.jsonl` says, kept small.

In: its lines. Out: one `Series` per metric, and the last lines as they are.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from dashboard.series import Series

MAX_UPDATE = 10**7
MAX_NAMES = 600
"""A foreign file may name as many metrics as it likes; memory stays bounded."""
NUM_RECENT = 200
HUGE = 1e100
NOT_METRICS = ("update", "time")


class MetricHistory:
    """All metrics of a run."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.recent: deque[dict[str, float]] = deque(maxlen=NUM_RECENT)
        """The last updates whole, for alarms and for what is said about now."""
        self.num_foreign = 0
        self.last_update = 0
        self.last_time = 0.0

    def take(self, lines: list[dict[str, Any]]) -> None:
        """Add new lines; one without a sensible update is counted and left out."""
        sound = [line for line in lines if _is_update(line.get("update"))]
        self.num_foreign += len(lines) - len(sound)
        if not sound:
            return
        updates = np.array([line["update"] for line in sound])
        for name in dict.fromkeys(name for line in sound for name in line):
            if name not in NOT_METRICS and self._is_known(name):
                self.series[name].extend(updates, np.array([number(line.get(name)) for line in sound]))
        for line in sound[-NUM_RECENT:]:
            self.recent.append({name: number(value) for name, value in line.items() if name in self.series})
        self.last_update = int(updates[-1])
        self.last_time = max(self.last_time, number(sound[-1].get("time"), otherwise=0.0))

    def recent_values(self, name: str, at_most: int = NUM_RECENT) -> list[float]:
        """Finite values of the last updates, oldest first."""
        values = (line.get(name, np.nan) for line in list(self.recent)[-at_most:])
        return [value for value in values if np.isfinite(value)]

    def recent_mean(self, name: str, at_most: int) -> float | None:
        """None where nothing was written."""
        return mean(self.recent_values(name, at_most))

    def _is_known(self, name: str) -> bool:
        if name not in self.series and len(self.series) < MAX_NAMES:
            self.series[name] = Series()
        return name in self.series


def number(value: Any, otherwise: float = float("nan")) -> float:
    """A JSON number as a float; anything else, and what would overflow in sums of squares, is not one."""
    return float(value) if type(value) in (int, float) and -HUGE < value < HUGE else otherwise


def mean(values: Iterable[float]) -> float | None:
    """None of nothing."""
    kept = list(values)
    return sum(kept) / len(kept) if kept else None


def _is_update(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_UPDATE
