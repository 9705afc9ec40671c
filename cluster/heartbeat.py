"""Processes that live but no longer answer: stopped, or holding the interpreter's lock.

In: calls that any healthy process answers at once. Out: members that have not answered for too long. A death
is noticed by other means; whoever asks here leaves out members that are dead or only starting. One thread
that is stuck while the others answer (a call into a GPU's driver that never returns) is not noticed.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import ray

PING_EVERY_S = 5.0
PATIENCE_S = 30.0
"""A process that holds the interpreter's lock, or starves on a crowded machine, gets so long to answer."""
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
            if now - since > PING_EVERY_S:
                del self._asked[member]
            return False
        if now - since < self._patience_s:
            return False
        del self._asked[member]
        return True
