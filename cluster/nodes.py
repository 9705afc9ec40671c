"""Which machines are there.

In: Ray's list of nodes. Out: those that have left since the last look. Nothing has to be done about one
here: Ray starts its actors elsewhere, or when it returns.
"""

import time

import ray

from cluster.parts import Fault

LOOK_EVERY_S = 2.0


class Nodes:
    """A `Mortal` over the cluster's machines."""

    fault = Fault.NODE

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._alive = self._look()
        self._next_look = 0.0

    def lost(self) -> dict[int, str]:
        if time.monotonic() < self._next_look:
            return {}
        self._next_look = time.monotonic() + LOOK_EVERY_S
        before, self._alive = self._alive, self._look()
        return dict.fromkeys(before - self._alive, "it left the cluster")

    def mend(self, member: int) -> None:
        """What ran there is mended by the parts it belongs to."""

    def _look(self) -> set[int]:
        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        return {self._names.setdefault(name, len(self._names)) for name in alive}
