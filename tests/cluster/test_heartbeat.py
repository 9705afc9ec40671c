"""Silence is noticed and so is being stuck, a slow answer is neither, and who did not look blames nobody."""

import time

import pytest
from ray.exceptions import RayActorError

from cluster import heartbeat
from cluster.heartbeat import STUCK_S, Heartbeat

DEAD = -1.0


class Calls:
    """Stands in for Ray: a call is answered from a given moment on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.answers_after: dict[int, float] = {}
        self.busy_s: dict[int, float] = {}
        """What members answer; 0 where nothing is given."""
        self.pings: list[int] = []
        monkeypatch.setattr(heartbeat.ray, "wait", self._wait)
        monkeypatch.setattr(heartbeat.ray, "get", self._get)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def ping(self, member: int) -> tuple[int, float]:
        self.pings.append(member)
        return member, self.now + self.answers_after.get(member, 0.0)

    def _wait(self, calls: list[tuple[int, float]], timeout: float) -> tuple[list[object], list[object]]:
        ready = [call for call in calls if call[1] <= self.now]
        return list(ready), []

    def _get(self, call: tuple[int, float]) -> float:
        busy_s = self.busy_s.get(call[0], 0.0)
        if busy_s == DEAD:
            raise RayActorError
        return busy_s

    def look_for(self, beat: Heartbeat, seconds: float, members: tuple[int, ...] = (0, 1)) -> list[int]:
        """Look once a second; everybody that was called silent."""
        found = []
        for _ in range(int(seconds)):
            self.now += 1.0
            found += beat.silent(members)
        return found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def test_only_the_silent_one_is_named_and_once(calls: Calls) -> None:
    calls.answers_after[1] = float("inf")
    beat = Heartbeat(calls.ping, patience_s=10.0)
    assert calls.look_for(beat, 12) == [1]
    assert calls.look_for(beat, 5) == []


def test_a_slow_answer_is_not_silence(calls: Calls) -> None:
    calls.answers_after = {0: 9.0, 1: 9.0}
    assert calls.look_for(Heartbeat(calls.ping, patience_s=10.0), 60) == []


def test_one_that_answers_but_has_not_come_back_from_a_call_is_named_once(calls: Calls) -> None:
    calls.busy_s = {0: STUCK_S - 60, 1: STUCK_S + 1}
    beat = Heartbeat(calls.ping)
    assert calls.look_for(beat, 3) == [1]
    calls.busy_s = {}  # a fresh process
    assert calls.look_for(beat, 60) == []


def test_a_ping_that_died_with_its_member_is_for_others_to_see(calls: Calls) -> None:
    calls.busy_s = {1: DEAD}
    assert calls.look_for(Heartbeat(calls.ping), 60) == []


def test_healthy_members_are_asked_now_and_then(calls: Calls) -> None:
    calls.look_for(Heartbeat(calls.ping), 60)
    assert 12 <= len(calls.pings) <= 24


def test_who_did_not_look_blames_nobody(calls: Calls) -> None:
    calls.answers_after[1] = 20.0
    beat = Heartbeat(calls.ping, patience_s=10.0)
    calls.look_for(beat, 2)
    calls.now += 60.0  # the looker itself was stopped, and nothing that came meanwhile has been taken in
    calls.answers_after[1] = 1.0
    assert calls.look_for(beat, 30) == []


def test_a_member_that_was_away_begins_anew(calls: Calls) -> None:
    calls.answers_after[1] = float("inf")
    beat = Heartbeat(calls.ping, patience_s=10.0)
    calls.look_for(beat, 8)
    calls.look_for(beat, 3, members=(0,))
    calls.answers_after[1] = 1.0
    assert calls.look_for(beat, 30) == []
