"""What a run's `events.jsonl` says: outcomes of episodes, evaluations, failures, and whether it still runs.

In: its lines. Out: success per task over updates, evaluations, recorded episodes, failures. Lines come from
a file that anybody may have written: one that is not as it should be is counted and left out.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.episodes import Moments, RecordedEpisode, RecordedEpisodes
from dashboard.metrics import MAX_UPDATE, number
from dashboard.series import Series

MAX_TASKS = 200
MAX_TEXT = 300
MAX_FAULTS = 200
MAX_EVALUATIONS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Episodes from published starts after an update: successes and episodes per task."""

    update: int
    greedy: bool
    tasks: dict[str, tuple[int, int]]

    @property
    def total(self) -> tuple[int, int]:
        """Successes and episodes of all tasks."""
        return sum(k for k, _ in self.tasks.values()), sum(n for _, n in self.tasks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    time: float
    kind: str
    reason: str


class EventHistory:
    """Everything that happened, kept small."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Series] = {name: Series() for name in ("success", "return", "steps")}
        """Of training episodes."""
        self.success: dict[str, Series] = {}
        """Of training episodes, per task."""
        self.evaluations: deque[Evaluation] = deque(maxlen=MAX_EVALUATIONS)
        self.recorded = RecordedEpisodes()
        self.faults: deque[FaultEvent] = deque(maxlen=MAX_FAULTS)
        self.instructions: dict[str, str] = {}
        self.state = "running"
        self.started: float | None = None
        self.last_time = 0.0
        self.begun: float | None = None
        """When it was last started or resumed."""
        self.last_trajectory: float | None = None
        self.is_evaluating = False
        self.num_foreign = 0
        self._update = 0
        self._pending: dict[Series, list[tuple[int, float]]] = defaultdict(list)

    def take(self, lines: list[dict[str, Any]]) -> None:
        """Add new lines. Fault-tolerance point: a line of another shape is passed over."""
        for line in lines:
            try:
                self._take(line)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
                self.num_foreign += 1
        for series, pairs in self._pending.items():
            updates, values = zip(*pairs, strict=True)
            series.extend(np.array(updates), np.array(values, dtype=float))
        self._pending.clear()

    def _take(self, line: dict[str, Any]) -> None:
        time = number(line["time"])
        if math.isnan(time):
            raise ValueError("a line without a time")
        match line["kind"]:
            case "episode":
                self._episode(line, time)
            case "evaluating":
                self.is_evaluating = True
            case "evaluation":
                self.is_evaluating = False
                self._evaluation(line, time)
            case "trained":
                self._update = _update(line["update"])
            case "moments":
                self.recorded.add_moments(Moments.read(line))
            case "fault":
                self._fault(text(line["fault"]), line, time)
            case "checkpoint_failed" | "damaged_checkpoint":
                self._fault("checkpoint", line, time)
            case "started" | "resumed":
                self._begin(line, time)
            case "told_to_stop":
                self.state = "stopping"
            case "ended":
                self.state = "complete" if line["complete"] is True else "stopped"
        self.last_time = max(self.last_time, time)

    def _begin(self, line: dict[str, Any], time: float) -> None:
        self._update = _update(line["update"])
        self.state, self.is_evaluating = "running", False
        self.started = time if self.started is None else self.started
        self.begun = time
        tasks = line.get("tasks", {})
        self.instructions |= {text(task): text(said) for task, said in list(tasks.items())[:MAX_TASKS]}

    def _episode(self, line: dict[str, Any], time: float) -> None:
        episode = RecordedEpisode.read(line, time, evaluation=None)
        series = self._task(episode.task)
        self._pending[series].append((self._update, float(episode.success)))
        for name, value in (
            ("success", episode.success),
            ("return", episode.total),
            ("steps", episode.steps),
        ):
            self._pending[self.outcomes[name]].append((self._update, float(value)))
        self.recorded.add(episode)
        self.last_trajectory = time

    def _evaluation(self, line: dict[str, Any], time: float) -> None:
        update = _update(line["update"])
        episodes = [RecordedEpisode.read(fields, time, evaluation=update) for fields in line["episodes"]]
        counts: dict[str, list[bool]] = defaultdict(list)
        for episode in episodes:
            counts[episode.task].append(episode.success)
            self.recorded.add(episode)
        tasks = {task: (sum(found), len(found)) for task, found in list(counts.items())[:MAX_TASKS]}
        if tasks:
            self.evaluations.append(Evaluation(update=update, greedy=line["greedy"] is True, tasks=tasks))
        self.last_trajectory = time

    def _fault(self, kind: str, line: dict[str, Any], time: float) -> None:
        self.faults.append(FaultEvent(time=time, kind=kind, reason=text(line["reason"])))

    def _task(self, task: str) -> Series:
        if task not in self.success:
            if len(self.success) >= MAX_TASKS:
                raise ValueError("more tasks than a run can have")
            self.success[task] = Series()
        return self.success[task]


def text(value: Any) -> str:
    """A text of reasonable length."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value[:MAX_TEXT]


def _update(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MAX_UPDATE:
        raise ValueError(f"no update has the number {value}")
    return value
