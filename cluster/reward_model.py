"""The reward model's actor: scores asked for and collected, deaths survived.

In: references to sealed chunks. Out: their scores. When the actor dies, what it had not answered is asked
again once Ray has started it anew (`pause`: updates wait), or given up (`sparse`: the learner gets no scores
of those chunks and trains on the simulator's reward alone; they are counted). Never is a score made up.
"""

import time
from typing import Any

import ray
from ray.exceptions import RayActorError

from cluster.parts import Fault, GivenUpError
from core.config import WhenDown
from core.types import RewardScores

START_TIMEOUT_S = 600.0
SCORE_TIMEOUT_S = 300.0
"""A call without an answer for so long means that the actor hangs: it is replaced."""
CHOICE = {
    WhenDown.PAUSE: "updates wait until it is back",
    WhenDown.SPARSE: "until it is back, updates train on the simulator's reward alone",
}


class RayRewardModel:
    """A `RewardPart` of an actor that Ray restarts, and a `Mortal` of one member."""

    fault = Fault.REWARD

    def __init__(self, actor: Any, when_down: WhenDown) -> None:
        self._actor, self._when_down = actor, when_down
        self._chunks: dict[int, Any] = {}
        """Every slot that is not forgotten, to the chunk's reference."""
        self._calls: dict[int, tuple[Any, float]] = {}
        """Slots under way, to the call and when it was made."""
        self._answers: dict[int, RewardScores | None] = {}
        self._deaths: dict[int, str] = {}
        self._watch = actor.watch.remote()
        self._start: Any = None
        """Answers when a restarted actor is up; None while it is up."""
        self._last_answer = time.monotonic()
        """It answers one call after the other: the oldest may have waited for many."""
        ray.get(actor.version.remote(), timeout=START_TIMEOUT_S)

    def ask(self, slot: int, chunk: Any) -> None:
        self._chunks[slot] = chunk
        if self._start is None:
            self._call(slot)
        elif self._when_down is WhenDown.SPARSE:
            self._answers[slot] = None

    def is_settled(self, slot: int) -> bool:
        self._look()
        return slot in self._answers

    def answer(self, slot: int) -> RewardScores | None:
        return self._answers[slot]

    def forget(self, slot: int) -> None:
        for kept in (self._chunks, self._calls, self._answers):
            kept.pop(slot, None)

    def lost(self) -> dict[int, str]:
        """Deaths since the last call."""
        self._look()
        deaths, self._deaths = self._deaths, {}
        return deaths

    def mend(self, member: int) -> None:
        """Nothing more to do: Ray starts the process again, and `_look` notices when it is back."""

    def close(self) -> None:
        ray.kill(self._actor)

    def _call(self, slot: int) -> None:
        # In a list, so that Ray does not fetch the chunk itself: the actor finds out if it is lost.
        self._calls[slot] = (self._actor.score.remote([self._chunks[slot]]), time.monotonic())

    def _look(self) -> None:
        """Collect answers, notice deaths and returns."""
        if self._start is not None:
            self._welcome()
            return
        calls = [call for call, _ in self._calls.values()]
        ready = set(ray.wait(calls, num_returns=len(calls), timeout=0)[0]) if calls else set()
        for slot in [slot for slot, (call, _) in self._calls.items() if call in ready]:
            if self._start is None:
                self._take(slot)
        if self._start is None and (ray.wait([self._watch], timeout=0)[0] or self._hangs()):
            self._mourn()

    def _take(self, slot: int) -> None:
        """Fault-tolerance point: an answer that died with its actor is dealt with by `_mourn`."""
        call, _ = self._calls[slot]
        try:
            self._answers[slot] = ray.get(call)
            del self._calls[slot]
            self._last_answer = time.monotonic()
        except RayActorError:
            self._mourn()

    def _hangs(self) -> bool:
        oldest = min((since for _, since in self._calls.values()), default=time.monotonic())
        if time.monotonic() - max(oldest, self._last_answer) < SCORE_TIMEOUT_S:
            return False
        ray.kill(self._actor, no_restart=False)
        return True

    def _mourn(self) -> None:
        if self._start is not None:
            return
        self._deaths[0] = "its process died"
        print(f"the reward model died; {CHOICE[self._when_down]}", flush=True)
        self._start, self._died = self._actor.version.remote(), time.monotonic()
        if self._when_down is WhenDown.SPARSE:
            self._answers.update(dict.fromkeys(self._calls))
        self._calls.clear()

    def _welcome(self) -> None:
        """Ask again for all that is still wanted, once the new process is up."""
        if self._when_down is WhenDown.PAUSE and time.monotonic() - self._died > START_TIMEOUT_S:
            raise GivenUpError(
                f"the reward model has not come back within {START_TIMEOUT_S:.0f} s, and updates wait for "
                "it; Ray's logs of the RewardActor say why (reward.when_down=sparse goes on without it)"
            )
        if not ray.wait([self._start], timeout=0)[0]:
            return
        try:
            ray.get(self._start)
        except RayActorError:  # it died once more while starting
            self._start = self._actor.version.remote()
            return
        self._start = None
        self._watch = self._actor.watch.remote()
        for slot in self._chunks.keys() - self._answers.keys():
            self._call(slot)
