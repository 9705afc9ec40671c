"""All inference actors: weights to every one, and back into service after a death.

In: adapters. Out: replicas that all serve the newest one. A replica that was restarted takes no request
until it has been given the current weights, and nothing is published between that and its return, so none
ever serves old ones.
"""

import time
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError

from actors.messages import Request
from cluster.heartbeat import Heartbeat
from cluster.parts import Fault, GivenUpError
from core.types import Decision, Observation

ANSWER_S = 30.0
"""A push or a probe takes a fraction of a second; who has not answered by then hangs."""
START_TIMEOUT_S = 600.0
POLL_S = 0.5


class RayReplicas:
    """A `ReplicasPart` of actors that Ray restarts."""

    fault = Fault.REPLICA

    def __init__(self, handles: list[Any]) -> None:
        self._handles = handles
        self._watches = {number: handle.watch.remote() for number, handle in enumerate(handles)}
        self._starting = {number: handle.pid.remote() for number, handle in enumerate(handles)}
        """Replicas that have been begun but not yet been given weights."""
        self._heartbeat = Heartbeat(lambda number: self._handles[number].ping.remote())
        self._hung: set[int] = set()
        self._deaths: dict[int, str] = {}
        self._adapter: Any = None
        self._none_since: float | None = None
        """When it was seen that no replica can answer."""

    def wait_for_all(self) -> None:
        """Until every engine has started; the first publication then reaches all."""
        ray.get(list(self._starting.values()), timeout=START_TIMEOUT_S)
        self._starting.clear()

    def publish(self, adapter: Any) -> None:
        """Push to all that are up, and wait for each. Waits for a first replica if none is up.

        An adapter that a replica refuses (`ValueError`) is not remembered for those that come back.
        """
        self._push(self._up(), adapter)
        self._adapter = adapter
        self._wait_for_one()

    def probe(self, observations: list[Observation]) -> list[list[Decision]]:
        """What each replica that is up answers; one that dies meanwhile is left out."""
        requests = [Request(observation=o, greedy=False, seed=seed) for seed, o in enumerate(observations)]
        while True:
            self._wait_for_one()
            calls = {number: self._handles[number].act.remote(requests) for number in self._up()}
            results = [self._result(number, call) for number, call in calls.items()]
            answers = [answer for answer in results if answer is not None]
            if answers:
                return answers

    def lost(self) -> dict[int, str]:
        """Replicas that have died since the last call; those that hang are killed."""
        self._look()
        for number in self._heartbeat.silent(self._up()):
            self._kill(number)
        self._refuse_to_wait_for_ever()
        deaths, self._deaths = self._deaths, {}
        return deaths

    def mend(self, member: int) -> None:
        """Nothing more to do: Ray starts the process again, and it is welcomed when its engine is up."""

    def close(self) -> None:
        for handle in self._handles:
            ray.kill(handle)

    def _up(self) -> list[int]:
        return [number for number in range(len(self._handles)) if number not in self._starting]

    def _wait_for_one(self) -> None:
        self._look()
        while not self._up():
            self._refuse_to_wait_for_ever()
            time.sleep(POLL_S)
            self._look()

    def _refuse_to_wait_for_ever(self) -> None:
        """Ray tries for ever; what keeps every replica from starting is for a person to mend."""
        if self._up():
            self._none_since = None
            return
        self._none_since = self._none_since or time.monotonic()
        if time.monotonic() - self._none_since > START_TIMEOUT_S:
            raise GivenUpError(
                f"no inference replica came up again within {START_TIMEOUT_S:.0f} s; Ray's logs of the "
                "InferenceActor say why (ray logs actor, or its files worker-*.err)"
            )

    def _look(self) -> None:
        """Note deaths; give the current weights to replicas whose engines have come up again."""
        watched = list(self._watches.values())
        dead, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        for number in [number for number, watch in self._watches.items() if watch in dead]:
            if number not in self._starting:  # else it has not come back from the death that was counted
                self._deaths[number] = "it hung" if number in self._hung else "its process died"
                self._hung.discard(number)
                self._starting[number] = self._handles[number].pid.remote()
            self._watches[number] = self._handles[number].watch.remote()
        if self._starting:
            ready, _ = ray.wait(list(self._starting.values()), num_returns=len(self._starting), timeout=0)
            for number in [number for number, start in self._starting.items() if start in ready]:
                self._welcome(number)

    def _welcome(self, number: int) -> None:
        start = self._starting.pop(number)
        if self._result(number, start) is None:  # it died once more while starting
            self._starting[number] = self._handles[number].pid.remote()
        else:
            self._push([number], self._adapter)

    def _push(self, numbers: list[int], adapter: Any) -> None:
        """One copy in the object store, however many replicas. One that dies meanwhile is met by `lost`."""
        waiting = {number: self._handles[number].update.remote(adapter) for number in numbers}
        while waiting:
            signs = [*waiting.values(), *(self._watches[number] for number in waiting)]
            if not ray.wait(signs, num_returns=1, timeout=ANSWER_S)[0]:
                for number in waiting:
                    self._kill(number)
                return
            settled, _ = ray.wait(signs, num_returns=len(signs), timeout=0)
            for number, call in list(waiting.items()):
                if call in settled or self._watches[number] in settled:
                    del waiting[number]
                if call in settled:
                    self._result(number, call)

    def _result(self, number: int, call: Any) -> Any:
        """The call's value; None where the replica died or hangs. Fault-tolerance point."""
        try:
            return ray.get(call, timeout=ANSWER_S)
        except RayActorError:
            return None
        except GetTimeoutError:
            self._kill(number)
            return None

    def _kill(self, number: int) -> None:
        """It hangs: a fresh process is the only way out."""
        self._hung.add(number)
        ray.kill(self._handles[number], no_restart=False)
