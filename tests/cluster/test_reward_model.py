"""The reward model's actor under Ray, killed: every score comes (`pause`) or is given up (`sparse`).

The actor is a small one with the real one's methods; the shell around the real model is in test_local.py.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import ray

from cluster.parts import Fault
from cluster.reward_model import RayRewardModel
from core.config import WhenDown
from core.types import RewardScores

PATIENCE_S = 60.0
SLOW_S = 1.0


class SlowScorer:
    """Takes its time; its answers tell which chunk they are of."""

    def version(self) -> str:
        return "slow"

    def pid(self) -> int:
        return os.getpid()

    @ray.method(concurrency_group="watch")
    def watch(self) -> None:
        threading.Event().wait()

    def score(self, references: list[Any]) -> RewardScores:
        time.sleep(SLOW_S)
        (chunk,) = ray.get(references)
        return RewardScores(chunk_id=chunk, scores=np.zeros(2, np.float32), model_version="slow")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def start(when_down: WhenDown) -> tuple[RayRewardModel, Any]:
    actor = ray.remote(concurrency_groups={"watch": 1})(SlowScorer).options(max_restarts=-1, num_cpus=0)
    handle = actor.remote()
    return RayRewardModel(handle, when_down), handle


def kill(handle: Any) -> None:
    os.kill(ray.get(handle.pid.remote()), signal.SIGKILL)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_paused_updates_get_every_score_after_a_death() -> None:
    model, handle = start(WhenDown.PAUSE)
    kill(handle)
    for slot in range(3):
        model.ask(slot, ray.put(f"chunk-{slot}"))
    wait_for(lambda: all(model.is_settled(slot) for slot in range(3)))
    answers = [model.answer(slot) for slot in range(3)]
    assert [answer.chunk_id for answer in answers if answer is not None] == ["chunk-0", "chunk-1", "chunk-2"]
    assert model.lost() == {0: "its process died"}
    assert model.lost() == {}
    assert model.fault is Fault.REWARD
    model.close()


def test_without_pause_what_is_not_scored_is_given_up_until_it_is_back() -> None:
    model, handle = start(WhenDown.SPARSE)
    model.ask(0, ray.put("chunk-0"))
    wait_for(lambda: model.is_settled(0))
    assert model.answer(0) is not None
    model.ask(1, ray.put("chunk-1"))
    kill_now(handle)
    wait_for(lambda: model.is_settled(1))
    assert model.answer(1) is None
    assert model.lost()
    wait_for(lambda: scored(model, ray.put("chunk-2")))
    model.close()


def kill_now(handle: Any) -> None:
    """Without waiting for the call that is under way."""
    ray.kill(handle, no_restart=False)


def scored(model: RayRewardModel, chunk: Any) -> bool:
    """Whether a chunk that is asked for now is scored in the end."""
    slot = time.monotonic_ns()
    model.ask(slot, chunk)
    wait_for(lambda: model.is_settled(slot))
    found = model.answer(slot) is not None
    model.forget(slot)
    return found


def test_what_is_forgotten_is_kept_nowhere() -> None:
    model, _ = start(WhenDown.PAUSE)
    model.ask(0, ray.put("chunk-0"))
    model.forget(0)
    time.sleep(2 * SLOW_S)
    assert not model.is_settled(0)
    assert model.lost() == {}
    model.close()
