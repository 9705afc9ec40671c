"""The client of the replicas: who is asked, and what happens when one dies."""

from concurrent.futures import Future

import numpy as np
import pytest
from ray.exceptions import RayActorError

from actors import remote_policy
from actors.messages import Request
from actors.remote_policy import RemotePolicy
from core.types import Decision, Observation

OBSERVATION = Observation(frame=np.zeros((2, 2, 3), np.uint8), instruction="do")


class FakeReplica:
    """Looks like an actor handle; its calls are answered or failed by the test."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Request], Future[list[Decision]]]] = []
        self.act = self

    def remote(self, requests: list[Request]) -> "FakeReplica":
        self.calls.append((requests, Future()))
        return self

    def future(self) -> "Future[list[Decision]]":
        return self.calls[-1][1]

    def answer(self) -> None:
        for requests, future in self.calls:
            future.set_result(
                [
                    Decision(tokens=np.full(7, r.seed, np.int32), logprobs=np.zeros(7, np.float32), version=0)
                    for r in requests
                ]
            )
        self.calls.clear()

    def die(self) -> None:
        for _, future in self.calls:
            future.set_exception(RayActorError())
        self.calls.clear()

    @property
    def num_requests(self) -> int:
        return sum(len(requests) for requests, _ in self.calls)


def ask(policy: RemotePolicy, *keys: int) -> None:
    for key in keys:
        policy.submit(key, OBSERVATION, greedy=False, seed=10 * key)


def test_the_least_busy_replica_is_asked_and_ready_requests_share_a_call() -> None:
    first, second = FakeReplica(), FakeReplica()
    policy = RemotePolicy([first, second])
    ask(policy, 1, 2, 3, 4)
    policy.poll(0)
    assert (first.num_requests, second.num_requests) == (2, 2)
    assert len(first.calls) == 1
    second.answer()
    policy.poll(0)
    ask(policy, 5)
    policy.poll(0)
    assert (first.num_requests, second.num_requests) == (2, 1)


def test_answers_find_their_keys() -> None:
    first, second = FakeReplica(), FakeReplica()
    policy = RemotePolicy([first, second])
    ask(policy, 1, 2, 3)
    assert policy.poll(0) == []
    second.answer()
    first.answer()
    assert {key: int(decision.tokens[0]) for key, decision in policy.poll(0)} == {1: 10, 2: 20, 3: 30}


def test_requests_of_a_dead_replica_go_to_another_and_it_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = FakeReplica(), FakeReplica()
    policy = RemotePolicy([first, second])
    ask(policy, 1, 2)
    policy.poll(0)
    first.die()
    assert policy.poll(0) == []
    policy.poll(0)
    assert (first.num_requests, second.num_requests) == (0, 2)
    monkeypatch.setattr(remote_policy.time, "monotonic", lambda: 1e12)
    ask(policy, 3)
    policy.poll(0)
    assert first.num_requests == 1


def test_with_no_replica_left_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = FakeReplica()
    policy = RemotePolicy([replica])
    ask(policy, 1)
    policy.poll(0)
    replica.die()
    policy.poll(0)
    policy.poll(0)
    assert replica.num_requests == 0
    monkeypatch.setattr(remote_policy.time, "monotonic", lambda: 1e12)
    policy.poll(0)
    replica.answer()
    assert [key for key, _ in policy.poll(0)] == [1]
