"""Learners, replicas and fleets that obey the real interfaces, for tests of the controller."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actors.messages import Event, Grant, Idle, Sealed
from cluster.parts import Fault, LearnerLostError, Loaded
from core.types import Decision, EpisodeOutcome, Observation, RewardScores
from tests.actors.fakes import ACTION_TOKENS, FakePolicy


@dataclass(frozen=True)
class FakeReport:
    number: int
    version: int
    policy_changed: bool = True
    metrics: dict[str, float] = field(default_factory=dict)
    moments: list[dict[str, Any]] = field(default_factory=list)


class FakeLearner:
    """A `LearnerPart` and `Mortal` that remembers what it was trained on. Its log-probs tell its version."""

    fault = Fault.LEARNER

    def __init__(self, *, slow_turns: int = 0, dies_at: int | None = None) -> None:
        self.number = self.version = 0
        self.damaged: list[str] = []
        self.trained: list[Any] = []
        self.all_scores: dict[str, RewardScores] = {}
        self.lags: list[int] = []
        self.saved: list[tuple[int, dict[str, Any]]] = []
        self.saved_trained: list[Any] = []
        self._slow_turns = slow_turns
        self._dies_at = dies_at
        self._dead = False
        self._batch: Sequence[Any] | None = None
        self._turns = 0

    def start(self, payloads: Sequence[Any], scores: dict[str, RewardScores]) -> None:
        assert self._batch is None
        self._batch, self._turns = payloads, 0
        self.all_scores |= scores

    @property
    def is_busy(self) -> bool:
        return self._batch is not None

    def finished(self) -> FakeReport | None:
        self._turns += 1
        if self._batch is None or self._turns <= self._slow_turns:
            return None
        batch, self._batch = self._batch, None
        if self.number == self._dies_at:
            self._dies_at, self._dead = None, True
            raise LearnerLostError("killed")
        self.lags += [self.version - chunk.versions.min() for chunk in batch if hasattr(chunk, "versions")]
        self.trained += batch
        self.number += 1
        self.version += 1
        return FakeReport(number=self.number, version=self.version)

    def adapter(self) -> int:
        return self.version

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        return np.full(tokens_BA.shape, -1.0 - self.version, np.float32)

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        self.saved.append((self.number, extra))
        self.saved_trained = list(self.trained)

    def load(self, root: Path) -> Loaded:
        self.number, extra = self.saved[-1] if self.saved else (0, {})
        return Loaded(number=self.number, extra=extra)

    def lost(self) -> dict[int, str]:
        dead, self._dead = self._dead, False
        return {0: "killed"} if dead else {}

    def mend(self, member: int) -> None:
        self.load(Path())
        self.trained = list(self.saved_trained)


class FakeReplicas:
    """A `ReplicasPart` in front of one `FakePolicy`. `deaf_times`: how many pushes it ignores."""

    def __init__(self, policy: FakePolicy, *, deaf_times: int = 0) -> None:
        self._policy = policy
        self._deaf_times = deaf_times
        self.published: list[int] = []

    def publish(self, adapter: int) -> None:
        self.published.append(adapter)
        if self._deaf_times:
            self._deaf_times -= 1
        else:
            self._policy.version = adapter

    def probe(self, observations: list[Observation]) -> list[list[Decision]]:
        logprobs = np.full(ACTION_TOKENS, -1.0 - self._policy.version, np.float32)
        tokens = np.zeros(ACTION_TOKENS, np.int32)
        decision = Decision(tokens=tokens, logprobs=logprobs, version=self._policy.version)
        return [[decision] * len(observations)]


class InstantFleet:
    """A `Fleet` of many environments whose episodes are done at the next poll; chunks are only names."""

    def __init__(self, num_envs: int, decisions_per_chunk: int) -> None:
        self._decisions = decisions_per_chunk
        self._granted: deque[tuple[int, Grant]] = deque()
        self._events: list[Event] = [Idle(env=env) for env in range(num_envs)]

    def go(self, env: int, grant: Grant) -> None:
        self._granted.append((env, grant))

    def poll(self, timeout_s: float) -> list[Event]:
        events, self._events = self._events, []
        while self._granted:
            events += self._end(*self._granted.popleft())
        return events

    def close(self) -> None: ...

    def _end(self, env: int, grant: Grant) -> list[Event]:
        outcome = EpisodeOutcome(
            episode_id=grant.episode_id,
            start=grant.start,
            success=grant.slot % 2 == 0,
            num_steps=self._decisions,
            episode_return=0.0,
            min_version=0,
            max_version=0,
        )
        sealed = Sealed(
            env=env,
            slot=grant.slot,
            episode_id=grant.episode_id,
            start=grant.start,
            chunk=grant.episode_id,
            num_decisions=self._decisions,
            num_steps=self._decisions,
            outcome=outcome,
            recorded=False,
        )
        return [sealed, Idle(env=env)]
