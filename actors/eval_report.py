"""What `vlarl eval` found, for people and for programs.

In: an outcome per start. Out: a table, JSON; success rates with Wilson intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.intervals import wilson
from core.types import EpisodeOutcome, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """What an evaluation found."""

    outcomes: list[EpisodeOutcome]
    """In the order of the starts."""

    def by_task(self) -> dict[TaskId, list[EpisodeOutcome]]:
        groups: dict[TaskId, list[EpisodeOutcome]] = {}
        for outcome in self.outcomes:
            groups.setdefault(outcome.start.task, []).append(outcome)
        return groups

    def table(self) -> str:
        """One line per task, then all of them."""
        lines = [f"{'task':<20} {'success':>9} {'rate':>6}  95 % interval"]
        lines += [_line(str(task_id), outcomes) for task_id, outcomes in self.by_task().items()]
        return "\n".join([*lines, _line("all", self.outcomes)])

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": _rate(self.outcomes),
            "tasks": {str(task_id): _rate(outcomes) for task_id, outcomes in self.by_task().items()},
            "episodes": [
                {
                    "start": str(outcome.start),
                    "success": outcome.success,
                    "num_steps": outcome.num_steps,
                    "video": outcome.video,
                }
                for outcome in self.outcomes
            ],
        }


def _rate(outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any]:
    successes = sum(outcome.success for outcome in outcomes)
    low, high = wilson(successes, len(outcomes))
    rate = successes / len(outcomes)
    return {"successes": successes, "episodes": len(outcomes), "rate": rate, "interval": [low, high]}


def _line(name: str, outcomes: Sequence[EpisodeOutcome]) -> str:
    found = _rate(outcomes)
    low, high = found["interval"]
    count = f"{found['successes']}/{found['episodes']}"
    return f"{name:<20} {count:>9} {found['rate']:>6.1%}  {low:.1%} to {high:.1%}"
