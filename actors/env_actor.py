"""Environments under Ray: a thin shell around `RolloutLoop`.

In: grants. Out: one endless stream: a list of events, followed by the chunks it announces, each its own
object in the store. The stream's reader owns the objects, so they outlive this process.
"""

import dataclasses
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray

from actors.environments import make_loop
from actors.messages import Event, Grant, Sealed
from actors.remote_policy import RemotePolicy
from core.config import Config

TURN_S = 0.01
"""Longest wait within one turn of the loop; a grant that comes meanwhile waits for it."""


class EnvActor:
    """Runs with two threads: one in `run`, one to take grants."""

    def __init__(self, config: Config, replicas: list[str], episodes: Path, number: int) -> None:
        """Replicas are given by name: handles among the arguments would not survive their node's death."""
        self._grants: deque[tuple[int, Grant]] = deque()
        policy = RemotePolicy([ray.get_actor(name) for name in replicas])
        self._loop = make_loop(config, policy, episodes, actor=number)
        self._running = True

    def go(self, grants: list[tuple[int, Grant]]) -> None:
        """Grants for environments of this actor."""
        self._grants.extend(grants)

    def run(self) -> Iterator[Any]:
        """Play until `stop`."""
        while self._running:
            while self._grants:
                self._loop.go(*self._grants.popleft())
            events = self._loop.poll(TURN_S)
            if events:
                yield [_without_chunk(event) for event in events]
                yield from (event.chunk for event in events if isinstance(event, Sealed))
        self._loop.close()

    def stop(self) -> None:
        """End the stream, and with it the environments."""
        self._running = False

    def pid(self) -> int:
        return os.getpid()


def _without_chunk(event: Event) -> Event:
    return dataclasses.replace(event, chunk=None) if isinstance(event, Sealed) else event
