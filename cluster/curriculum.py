"""Which (task, initial state) to practise next, given how often each has succeeded.

In: outcomes of training episodes. Out: starts. Plain Python and numpy, one random generator, whole state in
a dict.

Success statistics decay, so that they follow the policy. A task's rate is shared by all its fresh starts
(each is seen once); published states are few and seen often, so each has its own rate, drawn towards its
task's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import CurriculumConfig, CurriculumKind
from core.types import EpisodeOutcome, Start, StateSource, TaskId

PRIOR_WEIGHT = 1.0
"""How many outcomes the prior counts for: a task begins at 50 %, a published state at its task's rate."""


def frontier_weights(success: np.ndarray, temperature: float) -> np.ndarray:
    """exp(-(s - 0.5)² / (2 τ²)): most where success is as likely as failure."""
    return _exp(-((success - 0.5) ** 2) / (2 * temperature**2))


def paper_weights(success: np.ndarray, temperature: float) -> np.ndarray:
    """exp((0.5 - s) / τ), VLA-RL's formula. The constant cancels when normalised: the hardest get most."""
    return _exp((0.5 - success) / temperature)


def _exp(exponents: np.ndarray) -> np.ndarray:
    """Up to a factor, which cancels: the largest is 1, so that a small τ does not leave zeros alone."""
    return np.exp(exponents - exponents.max())


def probabilities(weights: np.ndarray, floor: float) -> np.ndarray:
    """Normalised, with a share of `floor` spread evenly, so that nothing is ever given up."""
    return (1 - floor) * weights / weights.sum() + floor / len(weights)


@dataclass(slots=True)
class SuccessRate:
    """Outcomes and successes, each weighing `decay` times less with every newer one."""

    weight: float = 0.0
    successes: float = 0.0

    def add(self, success: bool, decay: float) -> None:
        self.weight = decay * self.weight + 1.0
        self.successes = decay * self.successes + success

    def estimate(self, prior: float) -> float:
        return (self.successes + PRIOR_WEIGHT * prior) / (self.weight + PRIOR_WEIGHT)


class Curriculum:
    """Draws starts. `num_states` maps each task to its number of published states; fresh ones are endless."""

    def __init__(
        self,
        config: CurriculumConfig,
        tasks: Mapping[TaskId, int],
        source: StateSource,
        *,
        seed: int,
    ) -> None:
        assert tasks, "a curriculum needs at least one task"
        self._config = config
        self._source = source
        self._tasks = list(tasks)
        self._num_states = dict(tasks)
        self._rng = np.random.default_rng(seed)
        self._next_fresh = 0
        self._task_rates = {task: SuccessRate() for task in self._tasks}
        self._state_rates: dict[Start, SuccessRate] = {}

    def next(self) -> Start:
        """The start of the next episode (or of the next group of episodes)."""
        task = self._tasks[self._draw(np.array([self.success(task) for task in self._tasks]))]
        if self._source is StateSource.FRESH:
            self._next_fresh += 1
            return Start(task=task, source=self._source, number=self._next_fresh - 1)
        rates = [self._state_success(self._published(task, n)) for n in range(self._num_states[task])]
        return self._published(task, self._draw(np.array(rates)))

    def record(self, outcome: EpisodeOutcome) -> None:
        """Learn how an episode went."""
        start = outcome.start
        self._task_rates[start.task].add(outcome.success, self._config.decay)
        if start.source is StateSource.PUBLISHED:
            self._state_rates.setdefault(start, SuccessRate()).add(outcome.success, self._config.decay)

    def success(self, task: TaskId) -> float:
        """Estimated success rate of a task."""
        return self._task_rates[task].estimate(prior=0.5)

    def scalars(self) -> dict[str, float]:
        """For the metrics: every task's estimated success rate, and how often it is drawn."""
        rates = np.array([self.success(task) for task in self._tasks])
        shares = self._probabilities(rates)
        return {
            **{
                f"curriculum/success/{task}": float(rate)
                for task, rate in zip(self._tasks, rates, strict=True)
            },
            **{
                f"curriculum/weight/{task}": float(share)
                for task, share in zip(self._tasks, shares, strict=True)
            },
        }

    def state(self) -> dict[str, Any]:
        """Everything `load` needs to go on as if nothing had happened; plain JSON."""
        return {
            "rng": self._rng.bit_generator.state,
            "next_fresh": self._next_fresh,
            "tasks": [
                [task.suite, task.index, rate.weight, rate.successes]
                for task, rate in self._task_rates.items()
            ],
            "states": [
                [start.task.suite, start.task.index, start.number, rate.weight, rate.successes]
                for start, rate in self._state_rates.items()
            ],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore. Tasks that are no longer practised are left out, new ones begin without outcomes."""
        self._rng.bit_generator.state = state["rng"]
        self._next_fresh = state["next_fresh"]
        for suite, index, weight, successes in state["tasks"]:
            task = TaskId(suite=suite, index=index)
            if task in self._task_rates:
                self._task_rates[task] = SuccessRate(weight, successes)
        for suite, index, number, weight, successes in state["states"]:
            task = TaskId(suite=suite, index=index)
            if task in self._task_rates:
                self._state_rates[self._published(task, number)] = SuccessRate(weight, successes)

    def _draw(self, success: np.ndarray) -> int:
        return int(self._rng.choice(len(success), p=self._probabilities(success)))

    def _probabilities(self, success: np.ndarray) -> np.ndarray:
        """How likely each is to be drawn, given their success rates."""
        kind = self._config.kind
        if kind is CurriculumKind.UNIFORM:
            return np.full(len(success), 1 / len(success))
        weigh = frontier_weights if kind is CurriculumKind.FRONTIER else paper_weights
        return probabilities(weigh(success, self._config.temperature), self._config.floor)

    def _state_success(self, start: Start) -> float:
        rate = self._state_rates.get(start, SuccessRate())
        return rate.estimate(prior=self.success(start.task))

    def _published(self, task: TaskId, number: int) -> Start:
        return Start(task=task, source=StateSource.PUBLISHED, number=number)
