"""Serving: nothing is answered before the first weights, and many callers share one engine loop."""

import threading
import time
from collections import deque
from typing import Any

import numpy as np
import pytest

from actors.messages import Request
from actors.serving import Serving
from core.types import Adapter, Decision, Observation


class FakeEngine:
    """Answers one request a step with the version it serves; refuses adapters of version 13."""

    def __init__(self) -> None:
        self.version = 0
        self.waiting: deque[Any] = deque()
        self.steps_left = 10**6
        self.closed = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    @property
    def num_waiting(self) -> int:
        return len(self.waiting)

    def submit(self, key: Any, observation: Observation, greedy: bool, seed: int) -> None:
        if observation.instruction == "bad":
            raise ValueError("bad frame")
        self.waiting.append((key, seed))

    def step(self) -> list[tuple[Any, Decision]]:
        if not self.waiting:
            return []
        self.may_go_on.wait()
        self.steps_left -= 1
        if self.steps_left < 0:
            raise RuntimeError("broken for good")
        key, seed = self.waiting.popleft()
        decision = Decision(
            tokens=np.full(7, seed, np.int32), logprobs=np.zeros(7, np.float32), version=self.version
        )
        return [(key, decision)]

    def update(self, adapter: Adapter) -> None:
        if adapter.version == 13:
            raise ValueError("wrong rank")
        self.version = adapter.version

    def stats(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        self.closed = True


def adapter(version: int) -> Adapter:
    return Adapter(version=version, rank=1, alpha=1.0, tensors={})


def requests(*seeds: int, instruction: str = "do") -> list[Request]:
    observation = Observation(frame=np.zeros((2, 2, 3), np.uint8), instruction=instruction)
    return [Request(observation=observation, greedy=False, seed=seed) for seed in seeds]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def crashes() -> list[BaseException]:
    return []


@pytest.fixture
def serving(engine: FakeEngine, crashes: list[BaseException]) -> Serving:
    return Serving(engine, on_crash=crashes.append)  # type: ignore[arg-type]


def test_answers_come_in_the_order_of_the_requests(serving: Serving) -> None:
    serving.update(adapter(1)).result(5)
    assert [d.tokens[0] for d in serving.act(requests(5, 6, 7)).result(5)] == [5, 6, 7]


def test_early_requests_wait_for_the_first_weights(serving: Serving) -> None:
    early = serving.act(requests(1))
    with pytest.raises(TimeoutError):
        early.result(0.2)
    serving.update(adapter(4)).result(5)
    assert early.result(5)[0].version == 4


def test_whatever_is_asked_after_an_update_is_answered_with_it(serving: Serving) -> None:
    for version in range(1, 10):
        serving.update(adapter(version)).result(5)
        assert serving.act(requests(0)).result(5)[0].version == version


def test_refused_weights_are_reported_and_the_old_ones_served_on(serving: Serving) -> None:
    serving.update(adapter(1)).result(5)
    with pytest.raises(ValueError, match="wrong rank"):
        serving.update(adapter(13)).result(5)
    assert serving.act(requests(0)).result(5)[0].version == 1
    time.sleep(0.2)
    assert serving.busy.seconds == 0.0


def test_an_engine_that_does_not_come_back_is_seen_from_outside(serving: Serving, engine: FakeEngine) -> None:
    serving.update(adapter(1)).result(5)
    engine.may_go_on.clear()
    answer = serving.act(requests(1))
    time.sleep(0.3)
    first = serving.busy.seconds
    time.sleep(0.3)
    assert serving.busy.seconds > first + 0.2
    engine.may_go_on.set()
    answer.result(5)
    time.sleep(0.2)
    assert serving.busy.seconds == 0.0, "between two pieces of work"


def test_a_bad_request_fails_alone(serving: Serving) -> None:
    serving.update(adapter(1)).result(5)
    with pytest.raises(ValueError, match="bad frame"):
        serving.act(requests(0, instruction="bad")).result(5)
    assert len(serving.act(requests(1, 2)).result(5)) == 2


def test_many_callers_at_once(serving: Serving) -> None:
    serving.update(adapter(1)).result(5)
    answers: dict[int, int] = {}

    def call(seed: int) -> None:
        answers[seed] = int(serving.act(requests(seed)).result(5)[0].tokens[0])

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {seed: seed for seed in range(50)}


def test_a_broken_engine_is_reported(
    serving: Serving, engine: FakeEngine, crashes: list[BaseException]
) -> None:
    serving.update(adapter(1)).result(5)
    engine.steps_left = 0
    with pytest.raises(TimeoutError):
        serving.act(requests(1)).result(0.5)
    assert str(crashes[0]) == "broken for good"


def test_close_ends_the_engine(serving: Serving, engine: FakeEngine) -> None:
    serving.close()
    assert engine.closed


@pytest.fixture
def gathering(engine: FakeEngine, crashes: list[BaseException]) -> Serving:
    """Waits for three requests, at most three seconds."""
    return Serving(engine, on_crash=crashes.append, gather_s=3.0, enough=3)  # type: ignore[arg-type]


def test_requests_are_gathered_until_there_are_enough(gathering: Serving) -> None:
    gathering.update(adapter(1)).result(5)
    first, second = gathering.act(requests(1)), gathering.act(requests(2))
    with pytest.raises(TimeoutError):
        first.result(0.1)
    asked = time.monotonic()
    gathering.act(requests(3)).result(5)
    assert first.done()
    assert second.done()
    assert time.monotonic() - asked < 2.5


def test_a_lonely_request_waits_no_longer_than_it_was_told(gathering: Serving) -> None:
    gathering.update(adapter(1)).result(5)
    asked = time.monotonic()
    gathering.act(requests(1)).result(30)
    assert 2.5 < time.monotonic() - asked < 30


def test_gathering_does_not_delay_new_weights(gathering: Serving) -> None:
    gathering.update(adapter(1)).result(5)
    waiting = gathering.act(requests(1))
    gathering.update(adapter(2)).result(2.5)
    assert waiting.result(5)[0].version == 2
