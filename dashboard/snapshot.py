"""Everything the page shows of one run, as one JSON object.

In: a run and the time. Out: answers, series thinned to what a chart can show, alarms.
"""

import math
from typing import Any

import numpy as np

from core.intervals import Z, wilson
from dashboard.alarms import findings
from dashboard.answers import bottleneck, is_it_learning, time_shares
from dashboard.events import Evaluation
from dashboard.run import Run
from dashboard.series import Points, Series

METRIC_POINTS = 160
SUCCESS_POINTS = 40
TASK_POINTS = 20
EPISODES_PER_POINT = 12
"""Fewer than these make a rate that jumps about and says nothing."""
HEAT_COLUMNS = 40
EPISODES_PER_CELL = 6
METRIC_PREFIXES = ("learner/", "weights/", "rollout/", "buffer/", "faults/", "reward/", "time/interval_s")


def snapshot(run: Run, now: float) -> dict[str, Any]:
    """The page's data."""
    return {
        "run": _about(run, now),
        "notes": run.notes(),
        "learning": _learning(run),
        "practice": _practice(run),
        "metrics": {
            name: _series(series)
            for name, series in run.metrics.series.items()
            if name.startswith(METRIC_PREFIXES)
        },
        "speed": {"answer": bottleneck(run), "shares": time_shares(run)},
        "alarms": findings(run, now),
        "faults": [
            {"time": f.time, "kind": f.kind, "reason": f.reason} for f in list(run.events.faults)[-8:]
        ],
    }


def _about(run: Run, now: float) -> dict[str, Any]:
    return {
        "name": run.name,
        "revision": run.revision,
        "state": run.events.state,
        "started": run.events.started,
        "last_time": run.last_time,
        "now": now,
        "update": run.metrics.last_update,
        "num_updates": run.setting("run.num_updates", 0),
        "max_lag": run.setting("buffer.max_lag", 0),
        "suite": run.setting("env.suite", ""),
        "advantage": str(run.setting("advantage.kind", ""))[:40],
        "checkpoint": run.setting("policy.checkpoint", "")[:200],
        "mode": run.setting("run.mode", "")[:40],
        "seed": run.setting("run.seed", 0),
        "num_episodes": int(run.events.outcomes["success"].points(1).count.sum()),
        "num_videos": len(run.events.recorded),
        "video_tasks": run.events.recorded.tasks(),
        "instructions": run.events.instructions,
    }


def _learning(run: Run) -> dict[str, Any]:
    outcomes, evaluations = run.events.outcomes, list(run.events.evaluations)
    return {
        "answer": is_it_learning(run),
        "success": _rates(outcomes["success"], SUCCESS_POINTS),
        "tasks": {task: _rates(series, TASK_POINTS) for task, series in sorted(run.events.success.items())},
        "return": _means(outcomes["return"]),
        "steps": _means(outcomes["steps"]),
        "evaluations": [_evaluation(found) for found in evaluations],
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    tasks = {task: [*counts, *_rounded(wilson(*counts))] for task, counts in evaluation.tasks.items()}
    total = evaluation.total
    return {
        "update": evaluation.update,
        "greedy": evaluation.greedy,
        "tasks": tasks,
        "total": [*total, *_rounded(wilson(*total))],
    }


def _practice(run: Run) -> dict[str, Any]:
    """Success per task and time, on one common grid of updates, and what the curriculum prefers."""
    tasks = sorted(run.events.success)
    weights = {
        name: series for name, series in run.metrics.series.items() if name.startswith("curriculum/weight/")
    }
    estimates = {
        name: series for name, series in run.metrics.series.items() if name.startswith("curriculum/success/")
    }
    last = max((int(s.points(10**6).update[-1]) for s in run.events.success.values()), default=0)
    number = sum(int(s.points(1).count.sum()) for s in run.events.success.values())
    columns = max(8, min(HEAT_COLUMNS, number // (EPISODES_PER_CELL * max(1, len(tasks)))))
    width = max(1, -(-(last + 1) // columns))
    return {
        "tasks": tasks,
        "columns": list(range(0, last + 1, width)),
        "width": width,
        "cells": [_row(run.events.success[task], width, last) for task in tasks],
        "weights": {name.removeprefix("curriculum/weight/"): _series(s) for name, s in weights.items()},
        "estimates": {name.removeprefix("curriculum/success/"): _series(s) for name, s in estimates.items()},
    }


def _row(series: Series, width: int, last: int) -> list[list[int]]:
    """[successes, episodes] per column; a bucket wider than a column counts in the column it begins in."""
    points = series.points(10**6)
    columns = (points.update // width).astype(int)
    size = last // width + 1
    total = np.bincount(columns, points.total, size).round().astype(int)
    count = np.bincount(columns, points.count, size).astype(int)
    return [[int(k), int(n)] for k, n in zip(total, count, strict=True)]


def _series(series: Series) -> dict[str, list[float]]:
    """Mean, and lowest and highest where a point stands for several updates."""
    points = series.points(METRIC_POINTS)
    said = {"x": _updates(points), "y": _rounded(points.mean)}
    if len(points.count) and points.count.max() > 1:
        said |= {"low": _rounded(points.low), "high": _rounded(points.high)}
    return said


def _rates(series: Series, at_most: int) -> dict[str, list[float]]:
    """Success rates with 95 % intervals."""
    num_episodes = int(series.points(1).count.sum())
    points = series.points(max(2, min(at_most, num_episodes // EPISODES_PER_POINT)))
    intervals = [wilson(int(k), int(n)) for k, n in zip(points.total, points.count, strict=True)]
    return {
        "x": _updates(points),
        "y": _rounded(points.mean),
        "low": _rounded(low for low, _ in intervals),
        "high": _rounded(high for _, high in intervals),
        "n": [int(n) for n in points.count],
    }


def _means(series: Series) -> dict[str, list[float]]:
    """Means per point with their 95 % intervals."""
    points = series.points(SUCCESS_POINTS)
    error = Z * points.mean_error
    return {
        "x": _updates(points),
        "y": _rounded(points.mean),
        "low": _rounded(points.mean - error),
        "high": _rounded(points.mean + error),
    }


def _updates(points: Points) -> list[float]:
    return [int(update) for update in points.update]


def _rounded(values: Any) -> list[float]:
    """Five digits are more than a screen can show."""
    return [float(f"{value:.5g}") if math.isfinite(value) else 0.0 for value in values]
