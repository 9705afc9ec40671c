"""Processes that live but get nowhere: stopped, holding the interpreter's lock, or stuck in one call.

In: calls that any healthy process answers at once, with the seconds that its present piece of work has
taken. Out: members that have not answered, or worked on one thing, for too long (a call into a GPU's driver
that never returns leaves the other threads alive). A death is noticed by other means; whoever asks here
leaves out members that are dead or only starting.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.exceptions import RayActorError

PING_EVERY_S = 5.0
PATIENCE_S = 30.0
"""A process that holds the interpreter's lock, or starves on a crowded machine, gets so long to answer."""
STUCK_S = 1800.0
"""No piece of work takes so long: a step of an engine, a pass of the learner over a micro-batch."""
ATTENTION_S = 5.0
"""Who has not looked for so long cannot say that nobody answered: the count begins anew."""


class Heartbeat:
    """One ping at a time to each member; never waits."""

    def __init__(self, ping: Callable[[int], Any], *, patience_s: float = PATIENCE_S) -> None:
        self._ping = ping
        self._patience_s = patience_s
        self._asked: dict[int, tuple[Any, float]] = {}
        """Members to their last ping, and when it was sent."""
        self._looked_at = 0.0

    def silent(self, members: Iterable[int]) -> list[int]:
        """Of these members, those that hang; each is named once, then begins anew."""
        members = list(members)
        before, self._looked_at = self._looked_at, time.monotonic()
        was_looking = self._looked_at - before < ATTENTION_S
        kept = {member: asked for member, asked in self._asked.items() if member in members}
        self._asked = kept if was_looking else {}
        return [member for member in members if self._is_silent(member)]

    def _is_silent(self, member: int) -> bool:
        now = time.monotonic()
        if member not in self._asked:
            self._asked[member] = (self._ping(member), now)
            return False
        call, since = self._asked[member]
        if ray.wait([call], timeout=0)[0]:
            is_stuck = _answer(call) > STUCK_S
            if is_stuck or now - since > PING_EVERY_S:
                del self._asked[member]
            return is_stuck
        if now - since < self._patience_s:
            return False
        del self._asked[member]
        return True


def _answer(call: Any) -> float:
    """Fault-tolerance point: a death is noticed by others."""
    try:
        return float(ray.get(call))
    except RayActorError:
        return 0.0
