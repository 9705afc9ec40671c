"""The learner's ranks as a group under Ray: what one says is heard, and a restart that fails is repeated.

The ranks are stand-ins that obey the real one's interface: it takes a minute and a GPU to fail as they do.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from actors.learner_actor import LearnerActor
from cluster import heartbeat
from cluster.learner_group import RayLearner
from cluster.parts import LearnerLostError
from core.config import Config
from learner.batch import environment_rewards
from learner.learner import LoadReport

SIZE = 2
HANGS_S = 60.0


class BrokenLearner:
    """One rank's disk breaks, or its GPU never comes back, while the other waits for it in a collective."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def save(self, root: Path, extra: dict[str, Any], keep: int) -> None:
        if self._rank == 1:
            raise OSError("the disk is gone")
        time.sleep(HANGS_S)

    def probe(self, observations: list[Any], tokens_BA: np.ndarray) -> np.ndarray:
        time.sleep(HANGS_S)
        return tokens_BA


class Rank(LearnerActor):
    """`begins` says whether its process group can be joined."""

    def __init__(self, begins: bool) -> None:
        super().__init__(Config(), environment_rewards)
        self._begins = begins

    def begin(self, rank: int, size: int, address: str, port: int) -> int:
        self._learner = BrokenLearner(rank)  # type: ignore[assignment]
        if not self._begins and rank == 0:
            raise RuntimeError("address already in use")
        if not self._begins:
            time.sleep(HANGS_S)  # it waits for the first to come
        return 0

    def load(self, root: Path, version: int) -> tuple[int, LoadReport]:
        return 0, LoadReport(folder=None, damaged=[], extra={})


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def make_group(*begins: bool) -> RayLearner:
    """Its first ranks begin or not as the first word says, those that replace them as the next."""
    words = iter(begins)
    actor = ray.remote(concurrency_groups={"watch": 1, "ping": 1})(Rank).options(num_cpus=0)

    def make_ranks() -> list[Any]:
        word = next(words)
        return [actor.remote(word) for _ in range(SIZE)]

    return RayLearner(make_ranks, Path())


def test_what_one_rank_raises_is_raised_at_once() -> None:
    group = make_group(True)
    began = time.monotonic()
    with pytest.raises(OSError, match="the disk is gone"):
        group.save(Path(), {}, keep=1)
    assert time.monotonic() - began < HANGS_S / 2
    group.close()


def test_ranks_that_answer_but_never_come_back_from_a_call_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "STUCK_S", 3.0)
    group = make_group(True, True)
    began = time.monotonic()
    with pytest.raises(LearnerLostError, match="of 2 ranks hang"):
        group.probe([], np.zeros((1, 7)))
    assert time.monotonic() - began < HANGS_S / 2
    group.mend(0)
    assert group.lost() == {}
    group.close()


def test_a_restart_that_fails_is_a_loss_that_can_be_mended() -> None:
    group = make_group(True, False, True)
    ray.kill(group._ranks[1])
    deadline = time.monotonic() + 30
    while not group.lost():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(LearnerLostError, match="address already in use"):
        group.mend(0)
    assert "address already in use" in group.lost()[0]
    group.mend(0)
    assert group.lost() == {}
    group.close()
