"""The learner as a group of actors, one per rank, that live and die together.

In: references to chunks. Out: reports, adapters (as references: tensors never pass through this process),
checkpoints. When one rank dies all are replaced, and the group goes on from the last checkpoint.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayActorError, RayTaskError

from cluster.heartbeat import Heartbeat
from cluster.parts import Fault, LearnerLostError, Loaded, Report
from core.types import Observation, RewardScores

START_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingLearned:
    """The report of an update none of whose chunks could be read any more."""

    number: int
    version: int
    policy_changed: bool = False
    metrics: dict[str, float]
    moments: list[dict[str, Any]] = field(default_factory=list)


class RayLearner:
    """A `LearnerPart`, and a `Mortal` whose one member is the whole group."""

    fault = Fault.LEARNER

    def __init__(self, make_ranks: Callable[[], list[Any]], checkpoints: Path) -> None:
        self._make_ranks = make_ranks
        self._checkpoints = checkpoints
        self.number = 0
        self.damaged: list[str] = []
        self._version = 0
        self._num_chunks = 0
        self._scores: dict[str, RewardScores] = {}
        self._fetching: list[Any] = []
        self._updating: list[Any] = []
        self._begin()

    def start(self, payloads: Sequence[Any], scores: dict[str, RewardScores]) -> None:
        """Let every rank read the chunks; `finished` begins the update when all have."""
        self._num_chunks, self._scores = len(payloads), scores
        self._fetching = [rank.fetch.remote(list(payloads)) for rank in self._ranks]

    def finished(self) -> Report | None:
        if self._fetching:
            fetched = self._results(self._fetching)
            if fetched is None:
                return None
            self._fetching = []
            everywhere = sorted(set.intersection(*map(set, fetched)))
            if not everywhere:
                return NothingLearned(number=self.number, version=self._version, metrics={})
            self._num_chunks -= len(everywhere)
            self._updating = [rank.update.remote(everywhere, self._scores) for rank in self._ranks]
        if not self._updating:
            return None
        reports = self._results(self._updating)
        if reports is None:
            return None
        self._updating = []
        report: Report = reports[0]
        report.metrics["buffer/chunks_lost"] = float(self._num_chunks)
        self.number, self._version = report.number, report.version
        return report

    def adapter(self) -> Any:
        answers = [rank.adapter.remote() for rank in self._ranks]
        self._get([done for _, done in answers])
        return answers[0][0]

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        return self._everywhere("probe", observations, tokens_BA)[0]

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        self._everywhere("save", root, extra, keep)

    def load(self, root: Path) -> Loaded:
        number, found = self._everywhere("load", root, self._version)[0]
        self.number, self.damaged = number, found.damaged
        return Loaded(number=number, extra=found.extra)

    def lost(self) -> dict[int, str]:
        """The group, if one of its ranks has died or hangs."""
        reason = self._loss()
        return {0: reason} if reason else {}

    def mend(self, member: int) -> None:
        """Replace every rank: those that live wait for the dead one in a collective.

        A group that cannot begin (its port was taken meanwhile, a GPU is not free yet) is replaced again.
        """
        self.close()
        try:
            self._begin()
            self.load(self._checkpoints)
        except RayTaskError as error:
            self._failure = f"it could not begin again: {error}"
            raise LearnerLostError(self._failure) from error

    def close(self) -> None:
        for rank in self._ranks:
            ray.kill(rank)

    def _begin(self) -> None:
        self._fetching, self._updating = [], []
        self._has_begun, self._hung, self._failure = False, set[int](), ""
        self._deadline = time.monotonic() + START_TIMEOUT_S
        self._heartbeat = Heartbeat(lambda rank: self._ranks[rank].ping.remote())
        self._ranks = self._make_ranks()
        self._watches = [rank.watch.remote() for rank in self._ranks]
        address, port = self._get([self._ranks[0].address.remote()])[0]
        size = len(self._ranks)
        self._get([rank.begin.remote(number, size, address, port) for number, rank in enumerate(self._ranks)])
        self._has_begun = True

    def _everywhere(self, method: str, *args: Any) -> list[Any]:
        return self._get([getattr(rank, method).remote(*args) for rank in self._ranks])

    def _results(self, calls: list[Any]) -> list[Any] | None:
        """All results once all are there; an error as soon as there is one."""
        ready, waiting = ray.wait(calls, num_returns=len(calls), timeout=0)
        results = self._get(ready)
        return None if waiting else results

    def _get(self, calls: list[Any]) -> list[Any]:
        """Fault-tolerance point: the death of a rank, as the one error that the controller knows.

        What one rank raises is raised at once: the others may be waiting for it in a collective.
        """
        waiting = calls
        try:
            while waiting:
                answered, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=1.0)
                ray.get(answered)
                if waiting:
                    self._raise_if_lost()
            return ray.get(calls)
        except RayActorError as error:
            raise LearnerLostError(str(error)) from error

    def _raise_if_lost(self) -> None:
        """Ranks that live would wait for ever in a collective with a dead one."""
        if reason := self._loss():
            raise LearnerLostError(reason)

    def _loss(self) -> str:
        """Why the group must be replaced, if it must. Ranks that are only beginning may take their time."""
        dead, _ = ray.wait(self._watches, num_returns=len(self._watches), timeout=0)
        if dead:
            return f"{len(dead)} of {len(self._ranks)} ranks died"
        if not self._has_begun and time.monotonic() > self._deadline:
            return f"it has not begun within {START_TIMEOUT_S:.0f} s"
        if self._has_begun:
            self._hung.update(self._heartbeat.silent(range(len(self._ranks))))
            if self._hung:
                return f"{len(self._hung)} of {len(self._ranks)} ranks hang"
        return self._failure
