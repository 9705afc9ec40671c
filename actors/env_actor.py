"""Environments under Ray: a thin shell around `RolloutLoop`.

In: grants. Out: one endless stream: a list of events, followed by the chunks it announces, each its own
object in the store. The stream's reader owns the objects, so they outlive this process.
"""

import dataclasses
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

from actors.environments import make_loop
from actors.messages import Event, Grant, Sealed
from actors.remote_policy import RemotePolicy
from actors.restarts import again_if_restarted
from actors.rollout import RolloutLoop
from core.config import Config

TURN_S = 0.01
"""Longest wait within one turn of the loop; a grant that comes meanwhile waits for it."""


def loop_over_replicas(config: Config, replicas: list[str], episodes: Path, number: int) -> RolloutLoop:
    """What the actor of this number plays. Replicas are given by name: handles would not survive the death of
    their node.
    """
    policy = RemotePolicy([ray.get_actor(name) for name in replicas])
    return make_loop(config, policy, episodes, actor=number)


class EnvActor:
    """Runs with two threads: one in `run`, one to take grants."""

    def __init__(self, make_loop: Callable[[], RolloutLoop]) -> None:
        self._grants: deque[tuple[int, Grant]] = deque()
        with again_if_restarted():
            self._loop = make_loop()
        self._running = True
        self._life: int | None = None
        """Which of its lives the fleet takes this one for; known once `run` has begun."""

    def go(self, life: int, grants: list[tuple[int, Grant]]) -> None:
        """Grants for environments of this actor; those meant for the process before this one are void."""
        if life == self._life:
            self._grants.extend(grants)

    @ray.method(max_task_retries=-1)
    def arrive(self) -> None:
        """Answers once the environments are there; Ray asks again while the process is being restarted."""

    def run(self, life: int) -> Iterator[Any]:
        """Play until `stop`. Whatever goes wrong ends the process, a second stream too: Ray starts afresh."""
        try:
            if self._life is not None:
                raise RuntimeError("nobody hears the stream of this process any more")
            self._life = life
            while self._running:
                yield from self._turn()
            self._loop.close()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            os._exit(1)

    def stop(self) -> None:
        """End the stream, and with it the environments."""
        self._running = False

    def ping(self) -> float:
        """Nothing here takes long: its workers have a time limit of their own."""
        return 0.0

    def _turn(self) -> Iterator[Any]:
        while self._grants:
            self._loop.go(*self._grants.popleft())
        events = self._loop.poll(TURN_S)
        if events:
            yield [_without_chunk(event) for event in events]
            yield from (event.chunk for event in events if isinstance(event, Sealed))


def _without_chunk(event: Event) -> Event:
    return dataclasses.replace(event, chunk=None) if isinstance(event, Sealed) else event
