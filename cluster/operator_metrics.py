"""The run's numbers where operators look: Ray's own metrics, which Prometheus scrapes and Grafana shows.

In: the scalars of every update. Out: the run folder's files, and one gauge per metric of docs/metrics.md:
`learner/kl` becomes `ray_vlarl_learner_kl{run="..."}`, `curriculum/success/TASK` one gauge with a tag `task`.
"""

import math
import re
from pathlib import Path

from ray.util.metrics import Gauge

from core.metrics import MetricsWriter

PER_TASK = re.compile(r"(curriculum/\w+)/(.+)")


class RayMetricsWriter(MetricsWriter):
    """Writes what `MetricsWriter` writes, and sets Ray's gauges to the same. Needs a running Ray."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._run = folder.name
        self._gauges: dict[str, Gauge] = {}

    def scalars(self, update: int, values: dict[str, float]) -> None:
        super().scalars(update, values)
        for name, value in {**values, "update": float(update)}.items():
            if math.isfinite(value):
                self._set(name, value)

    def _set(self, name: str, value: float) -> None:
        found = PER_TASK.fullmatch(name)
        metric, task = (found[1], found[2]) if found else (name, "")
        if metric not in self._gauges:
            self._gauges[metric] = Gauge(
                gauge_name(metric), f"{metric}, see docs/metrics.md", ("run", "task")
            )
        self._gauges[metric].set(value, {"run": self._run, "task": task})


def gauge_name(metric: str) -> str:
    """A metric's name as Ray takes it; Ray puts `ray_` before it."""
    return "vlarl_" + re.sub(r"\W", "_", metric)
