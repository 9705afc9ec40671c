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
from cluster.parts import Fault, GivenUpError

STOP_S = 10.0
ANSWER_S = 10.0
"""An actor that has not answered for so long hangs. It holds no model, so nothing keeps it from answering;
and while it hangs, the lag bound lets the others go on only until the buffer is full.
"""
START_TIMEOUT_S = 600.0
"""An actor needs half a minute; one that Ray cannot place waits for ever, without a word."""


class RayFleet:
    """A `Fleet` of actors that Ray restarts; a stream is opened once to each process that arrives.

    Every grant ends in exactly one event: sealed, evaluated or dropped. What is granted to an actor that is
    away is dropped at once. Ray may deliver a call to the process that came after the one it was meant for,
    so calls name the life they are meant for.
    """

    fault = Fault.ENV_ACTOR

    def __init__(self, actors: list[Any], envs_per_actor: int) -> None:
        self._actors = actors
        self._envs_per_actor = envs_per_actor
        self._lives = [0] * len(actors)
        """How often each actor has died."""
        self._arrivals = {number: actor.arrive.remote() for number, actor in enumerate(actors)}
        """Of actors that are away; answered when they are there."""
        self._away_since = dict.fromkeys(self._arrivals, time.monotonic())
        self._streams: dict[int, Any] = {}
        self._outbox: dict[int, list[tuple[int, Grant]]] = defaultdict(list)
        self._granted: set[tuple[int, int]] = set()
        """Environments and slots of the grants whose end has not been heard of."""
        self._lost: dict[int, str] = {}
        self._heartbeat = Heartbeat(lambda number: self._actors[number].ping.remote(), patience_s=ANSWER_S)
        self._heard: set[int] = set()
        """Actors that have spoken since they were started: from them an answer may be expected."""
        self._hung: set[int] = set()
        self._events: list[Event] = []

    def go(self, env: int, grant: Grant) -> None:
        """Sent with the next `poll`."""
        actor, local = divmod(env, self._envs_per_actor)
        if actor not in self._heard:
            self._events.append(Dropped(env=env, slot=grant.slot, reason="its actor is away"))
            return
        self._granted.add((env, grant.slot))
        self._outbox[actor].append((local, grant))

    def poll(self, timeout_s: float) -> list[Event]:
        """Send grants, then hear every actor that has something to say."""
        for number, grants in self._outbox.items():
            self._actors[number].go.remote(self._lives[number], grants)
        self._outbox.clear()
        waited_for = {**self._streams, **self._arrivals}
        for number in _ready(waited_for, 0.0 if self._events else timeout_s):
            self._hear(number) if number in self._streams else self._welcome(number)
        events, self._events = self._events, []
        return events

    def lost(self) -> dict[int, str]:
        """Actors that have died since the last call; those that hang are killed."""
        for number in self._heartbeat.silent(self._heard):
            self._hung.add(number)
            ray.kill(self._actors[number], no_restart=False)
        self._look_for_the_missing()
        lost, self._lost = self._lost, {}
        return lost

    def mend(self, member: int) -> None:
        """Ray starts the process again; its new stream says which environments are idle."""
        self._lives[member] += 1
        self._arrivals[member] = self._actors[member].arrive.remote()
        self._away_since[member] = time.monotonic()

    def close(self) -> None:
        """Let every actor take its environments down and finish its videos, then end it."""
        for actor in self._actors:
            actor.stop.remote()
        if ends := [stream.completed() for stream in self._streams.values()]:
            ray.wait(ends, num_returns=len(ends), timeout=STOP_S)
        for actor in self._actors:
            ray.kill(actor)

    def _look_for_the_missing(self) -> None:
        """Whoever does not come is a loss that is told again and again; if nobody comes, the run ends."""
        now = time.monotonic()
        missing = [n for n, since in self._away_since.items() if now - since > START_TIMEOUT_S]
        reason = f"it has not come within {START_TIMEOUT_S:.0f} s: is there a machine with so many CPUs free?"
        if missing and not self._heard:
            raise GivenUpError(
                f"environment actor {missing[0]}: {reason} It asks for env.workers_per_actor of them "
                "(`ray status` shows what is free)"
            )
        self._lost.update(dict.fromkeys(missing, reason))

    def _welcome(self, number: int) -> None:
        """One that cannot even be made (no renderer, no assets) would fail for ever: that ends the run."""
        try:
            ray.get(self._arrivals.pop(number))
        except RayError as error:
            raise GivenUpError(f"environment actor {number} cannot start: {error}") from error
        run = self._actors[number].run.options(num_returns="streaming")
        self._streams[number] = run.remote(self._lives[number])

    def _hear(self, number: int) -> None:
        """Fault-tolerance point: an actor that died is reported by `lost`, its open episodes as dropped."""
        stream = self._streams[number]
        try:
            for event in ray.get(next(stream)):
                self._events.append(self._translate(number, event, stream))
            self._heard.add(number)
            self._away_since.pop(number, None)
        except (RayError, StopIteration) as error:
            del self._streams[number]
            self._lost[number] = "it hung" if number in self._hung else type(error).__name__
            self._heard.discard(number)
            self._hung.discard(number)
            self._drop_all(number)

    def _translate(self, number: int, event: Event, stream: Any) -> Event:
        """As the controller sees it. A chunk that died with its actor raises, and its grant is still open."""
        event = dataclasses.replace(event, env=number * self._envs_per_actor + event.env)
        if isinstance(event, Sealed):
            event = dataclasses.replace(event, chunk=self._chunk(number, stream))
        if isinstance(event, Sealed | Evaluated | Dropped):
            self._granted.discard((event.env, event.slot))
        return event

    def _chunk(self, number: int, stream: Any) -> Any:
        """The reference that follows its event. The last one of a stream that broke off is not a chunk."""
        if not ray.wait([stream], timeout=ANSWER_S, fetch_local=False)[0]:
            self._hung.add(number)
            ray.kill(self._actors[number], no_restart=False)
        chunk = next(stream)
        if chunk == stream.completed():
            ray.get(chunk)
        return chunk

    def _drop_all(self, number: int) -> None:
        self._outbox.pop(number, None)
        for env, slot in sorted(self._granted):
            if env // self._envs_per_actor == number:
                self._granted.discard((env, slot))
                self._events.append(Dropped(env=env, slot=slot, reason="its actor died"))


def _ready(waited_for: dict[int, Any], timeout_s: float) -> list[int]:
    """Of these streams and calls, by number, those that have something to say."""
    numbers = {id(waitable): number for number, waitable in waited_for.items()}
    waitables = list(waited_for.values())
    if not waitables:
        return []
    ray.wait(waitables, num_returns=1, timeout=timeout_s)
    ready, _ = ray.wait(waitables, num_returns=len(waitables), timeout=0)
    return [numbers[id(waitable)] for waitable in ready]
