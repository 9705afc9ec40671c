"""How a run is going: what happened since the last update, as scalars and as one line.

In: sealed chunks, outcomes, seconds spent. Out: the `rollout/` and `time/` scalars of docs/metrics.md, and a
line for the terminal.
"""

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from actors.messages import Sealed
from core.types import EpisodeOutcome

PURPOSES = ("update", "publish", "checkpoint", "evaluation")


class Progress:
    """Collects between two updates; `scalars` starts the next interval."""

    def __init__(self, num_updates: int) -> None:
        self._num_updates = num_updates
        self._started = self._since = time.perf_counter()
        self._num_made = 0
        """Updates in this process, those included that were lost and made again."""
        self._clear()

    def _clear(self) -> None:
        self._num_decisions = self._num_steps = 0
        self._decision_s = self._step_s = 0.0
        self._outcomes: list[EpisodeOutcome] = []
        self._seconds: dict[str, float] = defaultdict(float)

    def sealed(self, event: Sealed) -> None:
        """A chunk came in."""
        self._num_decisions += event.num_decisions
        self._num_steps += event.num_steps
        self._decision_s += event.decision_s
        self._step_s += event.step_s
        if event.outcome is not None:
            self._outcomes.append(event.outcome)

    @contextmanager
    def spend(self, purpose: str) -> Iterator[None]:
        """Count the seconds of a block under `time/{purpose}_s`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[purpose] += time.perf_counter() - started

    def scalars(self) -> dict[str, float]:
        """Everything since the last call."""
        now = time.perf_counter()
        elapsed = now - self._since
        values = {
            "rollout/decisions_per_s": self._num_decisions / elapsed,
            "rollout/env_steps_per_s": self._num_steps / elapsed,
            "rollout/episodes": float(len(self._outcomes)),
            "time/interval_s": elapsed,
            "memory/controller_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **{f"time/{purpose}_s": seconds for purpose, seconds in self._seconds.items()},
            **_means(self._outcomes),
        }
        if self._num_decisions:
            values["rollout/decision_s"] = self._decision_s / self._num_decisions
            values["rollout/step_s"] = self._step_s / self._num_decisions
        self._since = now
        self._clear()
        return values

    def line(self, update: int, values: dict[str, float]) -> str:
        """One line for a person."""
        self._num_made += 1
        remaining_s = (self._num_updates - update) * (time.perf_counter() - self._started) / self._num_made
        success = values.get("rollout/success")
        parts = [
            f"update {update}/{self._num_updates}",
            f"success {'-' if success is None else f'{success:.2f}'}",
            f"{values['rollout/env_steps_per_s']:.0f} env-steps/s",
            f"{values['rollout/decisions_per_s']:.1f} decisions/s",
            f"lag {values.get('learner/lag_mean', 0.0):.1f}",
            f"kl {values.get('learner/kl', 0.0):.4f}",
            f"entropy {values.get('learner/entropy', 0.0):.2f}",
            _shares(values),
            f"ETA {_duration(remaining_s)}",
        ]
        return " | ".join(parts)


def _means(outcomes: list[EpisodeOutcome]) -> dict[str, float]:
    if not outcomes:
        return {}
    number = len(outcomes)
    return {
        "rollout/success": sum(o.success for o in outcomes) / number,
        "rollout/return": sum(o.episode_return for o in outcomes) / number,
        "rollout/episode_steps": sum(o.num_steps for o in outcomes) / number,
    }


def _shares(values: dict[str, float]) -> str:
    """Where the learner's time went; the rest of an interval it waits for data."""
    interval = values["time/interval_s"]
    spent = {name: values.get(f"time/{name}_s", 0.0) / interval for name in PURPOSES}
    spent["wait"] = max(0.0, 1.0 - sum(spent.values()))
    return " ".join(f"{name} {share:.0%}" for name, share in spent.items() if share >= 0.005)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{seconds:02d}s"
