"""All environment actors as one fleet.

In: grants for environments numbered over all actors. Out: their events, with chunks as references that this
process owns: they stay in the store of the node where they were made, whatever becomes of the actor.
"""

import dataclasses
import time
from collections import defaultdict
from typing import Any

import ray
from ray.exceptions import RayError

from actors.messages import Dropped, Evaluated, Event, Grant, Sealed
from cluster.heartbeat import Heartbeat
from cluster.parts import Fault

STOP_S = 10.0
ANSWER_S = 10.0
"""An actor that has not answered for so long hangs. It holds no model, so nothing keeps it from answering; and
while it hangs, the lag bound lets the others go on only until the buffer is full.
"""
RETURN_S = 600.0
"""Until a second death is counted where an actor has not come back from the first."""


class RayFleet:
    """A `Fleet` of actors that Ray restarts; their streams are opened anew when they are back."""

    fault = Fault.ENV_ACTOR

    def __init__(self, actors: list[Any], envs_per_actor: int) -> None:
        self.num_envs = len(actors) * envs_per_actor
        self._actors = actors
        self._envs_per_actor = envs_per_actor
        self._streams = {number: self._open_stream(number) for number in range(len(actors))}
        self._outbox: dict[int, list[tuple[int, Grant]]] = defaultdict(list)
        self._granted: dict[int, Grant] = {}
        """Environment to the grant whose end has not been heard of."""
        self._lost: dict[int, str] = {}
        self._heartbeat = Heartbeat(lambda number: self._actors[number].pid.remote(), patience_s=ANSWER_S)
        self._heard: set[int] = set()
        """Actors that have spoken since they were started: from them an answer may be expected."""
        self._hung: set[int] = set()
        self._returning: dict[int, float] = {}
        """Actors that have died and not been heard of since, and until when they may take to come back."""
        self._events: list[Event] = []

    def go(self, env: int, grant: Grant) -> None:
        """Sent with the next `poll`."""
        actor, local = divmod(env, self._envs_per_actor)
        self._granted[env] = grant
        self._outbox[actor].append((local, grant))

    def poll(self, timeout_s: float) -> list[Event]:
        """Send grants, then hear every actor that has something to say."""
        for number, grants in self._outbox.items():
            self._actors[number].go.remote(grants)
        self._outbox.clear()
        for number in self._speaking(0.0 if self._events else timeout_s):
            self._hear(number)
        events, self._events = self._events, []
        return events

    def lost(self) -> dict[int, str]:
        """Actors that have died since the last call; those that hang are killed."""
        for number in self._heartbeat.silent(self._heard):
            self._hung.add(number)
            ray.kill(self._actors[number], no_restart=False)
        lost, self._lost = self._lost, {}
        return lost

    def mend(self, member: int) -> None:
        """Ray starts the process again; its new stream says which environments are idle."""
        self._returning[member] = time.monotonic() + RETURN_S
        self._streams[member] = self._open_stream(member)

    def close(self) -> None:
        """Let every actor take its environments down, then end it."""
        stops = [actor.stop.remote() for actor in self._actors]
        ray.wait(stops, num_returns=len(stops), timeout=STOP_S)
        for actor in self._actors:
            ray.kill(actor)

    def _open_stream(self, number: int) -> Any:
        return self._actors[number].run.options(num_returns="streaming").remote()

    def _speaking(self, timeout_s: float) -> list[int]:
        numbers = {id(stream): number for number, stream in self._streams.items()}
        streams = list(self._streams.values())
        if not streams:
            return []
        ray.wait(streams, num_returns=1, timeout=timeout_s)
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        return [numbers[id(stream)] for stream in ready]

    def _hear(self, number: int) -> None:
        """Fault-tolerance point: an actor that died is reported by `lost`, its open episodes as dropped.

        One that cannot even be made (no renderer, no assets) would fail for ever: that ends the run.
        """
        stream = self._streams[number]
        try:
            events = ray.get(next(stream))
            self._events += [self._translate(number, event, stream) for event in events]
            self._returning.pop(number, None)
            self._heard.add(number)
        except (RayError, StopIteration) as error:
            if "creation task" in str(error):
                raise RuntimeError(f"environment actor {number} cannot start: {error}") from error
            if time.monotonic() < self._returning.get(number, 0.0):  # not yet restarted: ask again
                self._streams[number] = self._open_stream(number)
                return
            del self._streams[number]
            self._lost[number] = "it hung" if number in self._hung else type(error).__name__
            self._heard.discard(number)
            self._hung.discard(number)
            self._drop_all(number)

    def _translate(self, number: int, event: Event, stream: Any) -> Event:
        env = number * self._envs_per_actor + event.env
        if isinstance(event, Sealed | Evaluated | Dropped):
            self._granted.pop(env, None)
        if isinstance(event, Sealed):
            return dataclasses.replace(event, env=env, chunk=next(stream))
        return dataclasses.replace(event, env=env)

    def _drop_all(self, number: int) -> None:
        first = number * self._envs_per_actor
        self._outbox.pop(number, None)
        for env in range(first, first + self._envs_per_actor):
            grant = self._granted.pop(env, None)
            if grant is not None:
                self._events.append(Dropped(env=env, slot=grant.slot, reason="its actor died"))
