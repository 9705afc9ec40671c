"""Silence is noticed, a slow answer is not silence, and who did not look blames nobody."""

import time

import pytest

from cluster import heartbeat
from cluster.heartbeat import Heartbeat


class Calls:
    """Stands in for Ray: a call is answered from a given moment on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.answers_after: dict[int, float] = {}
        self.pings: list[int] = []
        monkeypatch.setattr(heartbeat.ray, "wait", self._wait)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def ping(self, member: int) -> tuple[int, float]:
        self.pings.append(member)
        return member, self.now + self.answers_after.get(member, 0.0)

    def _wait(self, calls: list[tuple[int, float]], timeout: float) -> tuple[list[object], list[object]]:
        ready = [call for call in calls if call[1] <= self.now]
        return list(ready), []

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
