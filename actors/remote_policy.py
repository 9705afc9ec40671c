"""Decisions from replicas in other processes: what an environment actor holds of the policy.

In: observations. Out: decisions, whenever they come. Each observation goes to the replica with the fewest
outstanding requests of this client; those that are ready at the same time share a call. When a replica dies
its requests are sent to another one; it is asked again a moment later.
"""

import time
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from ray.exceptions import RayActorError

from actors.messages import Request
from core.types import Decision, Observation

RETRY_S = 1.0
"""How long a replica is left alone after it failed."""

Keyed = tuple[int, Request]


@dataclass(slots=True)
class _Replica:
    handle: Any
    outstanding: int = 0
    retry_at: float = 0.0


class RemotePolicy:
    """A `PolicyClient` over actor handles."""

    patience_s = 0.01

    def __init__(self, handles: list[Any]) -> None:
        self._replicas = [_Replica(handle) for handle in handles]
        self._pending: list[Keyed] = []
        self._answers: SimpleQueue[tuple[_Replica, list[Keyed], Future[list[Decision]]]] = SimpleQueue()

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        """Sent with the next `poll`."""
        self._pending.append((key, Request(observation=observation, greedy=greedy, seed=seed)))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        """Send what is pending; answers that have come."""
        self._send()
        answers: list[tuple[int, Decision]] = []
        while True:
            try:
                answer = self._answers.get(block=timeout_s > 0, timeout=timeout_s)
            except Empty:
                return answers
            timeout_s = 0.0
            answers += self._receive(*answer)

    def _send(self) -> None:
        now = time.monotonic()
        usable = [replica for replica in self._replicas if replica.retry_at <= now]
        if not usable or not self._pending:
            return
        shares: dict[int, list[Keyed]] = defaultdict(list)
        for keyed in self._pending:
            number = min(range(len(usable)), key=lambda n: usable[n].outstanding)
            usable[number].outstanding += 1
            shares[number].append(keyed)
        self._pending = []
        for number, share in shares.items():
            self._call(usable[number], share)

    def _call(self, replica: _Replica, share: list[Keyed]) -> None:
        future = replica.handle.act.remote([request for _, request in share]).future()
        future.add_done_callback(lambda done: self._answers.put((replica, share, done)))

    def _receive(
        self, replica: _Replica, share: list[Keyed], future: Future[list[Decision]]
    ) -> list[tuple[int, Decision]]:
        """Fault-tolerance point: a replica's death loses no request."""
        replica.outstanding -= len(share)
        try:
            decisions = future.result()
        except RayActorError:
            replica.retry_at = time.monotonic() + RETRY_S
            self._pending += share
            return []
        return [(key, decision) for (key, _), decision in zip(share, decisions, strict=True)]
