"""The rollout loop: what a chunk holds, who waits for whom, and what becomes of a broken episode."""

from typing import Any

import numpy as np
import pytest

from actors.messages import Dropped, Evaluated, Event, Failed, Grant, Idle, Sealed
from actors.rollout import RolloutLoop
from core.types import EpisodeOutcome, Start, StateSource, TaskId
from envs.messages import FailureKind
from envs.vector import EnvFailed
from tests.actors.fakes import FakePolicy, FakePool, FakeView

TASK = TaskId(suite="libero_spatial", index=0)


def start(number: int = 5) -> Start:
    return Start(task=TASK, source=StateSource.FRESH, number=number)


def grant(slot: int = 0, **values: Any) -> Grant:
    return Grant(slot=slot, episode_id=f"e{slot}", start=start(slot), **values)


def make(
    pool: FakePool, policy: FakePolicy | None = None, *, chunk_decisions: int = 0, recorder: Any = None
) -> RolloutLoop:
    return RolloutLoop(
        pool,
        policy or FakePolicy(),
        FakeView(),
        num_envs=pool.num_envs,
        instruction=lambda start: f"task {start.task.index}",
        recorder=recorder,
        chunk_decisions=chunk_decisions,
    )


def turn(loop: RolloutLoop, times: int = 10) -> list[Event]:
    return [event for _ in range(times) for event in loop.poll(0.0)]


def only(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_every_environment_begins_idle() -> None:
    assert turn(make(FakePool(3))) == [Idle(env=0), Idle(env=1), Idle(env=2)]


def test_a_solved_episode_becomes_one_chunk() -> None:
    pool, policy = FakePool(2, plan=lambda start: (3, True)), FakePolicy(version=4)
    loop = make(pool, policy)
    loop.go(1, grant(slot=7))
    events = turn(loop)
    (sealed,) = only(events, Sealed)
    chunk = sealed.chunk
    assert chunk.id == "e7/0"
    assert chunk.instruction == "task 0"
    assert [tuple(frame[0, 0]) for frame in chunk.frames] == [(1, 0, 7), (1, 1, 7), (1, 2, 7)]
    assert chunk.rewards.tolist() == [0, 0, 1]
    assert chunk.versions.tolist() == [4, 4, 4]
    assert chunk.terminated
    assert not chunk.truncated
    assert chunk.bootstrap_frame is None
    assert sealed.outcome == EpisodeOutcome(
        episode_id="e7",
        start=start(7),
        success=True,
        num_steps=3,
        episode_return=1.0,
        min_version=4,
        max_version=4,
    )
    assert events[-1] == Idle(env=1)


def test_a_time_limit_truncates_and_keeps_the_frame_to_bootstrap_from() -> None:
    loop = make(FakePool(1, plan=lambda start: (2, False)))
    loop.go(0, grant())
    (sealed,) = only(turn(loop), Sealed)
    assert sealed.chunk.truncated
    assert not sealed.chunk.terminated
    assert tuple(sealed.chunk.bootstrap_frame[0, 0]) == (0, 2, 0)
    assert not sealed.outcome.success


def test_chunks_of_a_long_episode_wait_for_grants_and_join_without_a_hole() -> None:
    loop = make(FakePool(1, plan=lambda start: (5, True)), chunk_decisions=2)
    loop.go(0, grant(slot=0))
    (first,) = only(turn(loop), Sealed)
    assert first.outcome is None
    assert turn(loop) == []  # no grant, no step
    loop.go(0, Grant(slot=1, episode_id="e0", start=start(0), continues=True))
    (second,) = only(turn(loop), Sealed)
    loop.go(0, Grant(slot=2, episode_id="e0", start=start(0), continues=True))
    (third,) = only(turn(loop), Sealed)
    assert [chunk.chunk.id for chunk in (first, second, third)] == ["e0/0", "e0/1", "e0/2"]
    assert np.array_equal(first.chunk.bootstrap_frame, second.chunk.frames[0])
    assert np.array_equal(second.chunk.bootstrap_frame, third.chunk.frames[0])
    assert [piece.num_steps for piece in (first, second, third)] == [2, 2, 1]
    assert [piece.chunk.first_decision for piece in (first, second, third)] == [0, 2, 4]
    assert third.outcome is not None
    assert third.outcome.num_steps == 5


def test_nobody_waits_for_a_stuck_environment() -> None:
    pool = FakePool(4, stuck={0})
    loop = make(pool)
    for env in range(4):
        loop.go(env, grant(slot=env))
    assert {event.env for event in only(turn(loop), Sealed)} == {1, 2, 3}


def test_an_idle_environment_that_breaks_does_not_ask_again() -> None:
    """It would be granted two episodes at once, and one of their slots would stay open for ever."""
    pool = FakePool(2)
    loop = make(pool)
    assert turn(loop) == [Idle(env=0), Idle(env=1)]
    pool.events.append(EnvFailed(env=1, kind=FailureKind.DIED, reason="killed"))
    assert turn(loop) == [Failed(env=1, reason="killed")]
    assert pool.restarted == [1]
    loop.go(1, grant(slot=4))
    assert [event.slot for event in only(turn(loop), Sealed)] == [4]


def test_a_broken_environment_drops_its_episode_and_only_that() -> None:
    pool = FakePool(2, breaks_at={0: 2})
    loop = make(pool)
    turn(loop, 1)
    loop.go(0, grant(slot=3))
    loop.go(1, grant(slot=4))
    events = turn(loop)
    assert [event.slot for event in only(events, Sealed)] == [4]
    assert only(events, Dropped) == [Dropped(env=0, slot=3, reason="broke")]
    assert only(events, Failed) == [Failed(env=0, reason="broke")]
    assert pool.restarted == [0]
    loop.go(0, grant(slot=5))
    assert [event.slot for event in only(turn(loop), Sealed)] == [5]


def test_a_paused_episode_that_breaks_ends_no_grant_twice() -> None:
    """The grant of its last chunk has ended; a second end would be taken for that of another slot."""
    pool = FakePool(1, plan=lambda start: (5, True))
    loop = make(pool, chunk_decisions=2)
    loop.go(0, grant(slot=0))
    assert len(only(turn(loop), Sealed)) == 1
    pool.events.append(EnvFailed(env=0, kind=FailureKind.DIED, reason="killed"))
    assert turn(loop) == [Failed(env=0, reason="killed")]
    loop.go(0, Grant(slot=1, episode_id="e0", start=start(0), continues=True))
    lost = Dropped(env=0, slot=1, reason="its episode was lost before")
    assert turn(loop) == [lost, Idle(env=0)]
    loop.go(0, grant(slot=2))
    assert [event.slot for event in only(turn(loop), Sealed)] == [2]


def test_a_paused_environment_that_broke_takes_an_evaluation() -> None:
    """Nobody may have heard yet that it broke: it does not ask for a second grant meanwhile."""
    pool = FakePool(1, plan=lambda start: (5, True))
    loop = make(pool, chunk_decisions=2)
    loop.go(0, grant(slot=0))
    turn(loop)
    pool.events.append(EnvFailed(env=0, kind=FailureKind.DIED, reason="killed"))
    assert turn(loop) == [Failed(env=0, reason="killed")]
    loop.go(0, Grant(slot=7, episode_id="judged", start=start(0), evaluate=True))
    events = turn(loop)
    assert [event.slot for event in only(events, Evaluated) + only(events, Dropped)] == [7]
    assert only(events, Idle) == [Idle(env=0)]


def test_a_late_answer_to_a_lost_episode_is_ignored() -> None:
    pool, policy = FakePool(1), FakePolicy()
    loop = make(pool, policy)
    loop.go(0, grant(slot=0))
    policy.held = True
    turn(loop)  # the question is out
    pool.events.append(EnvFailed(env=0, kind=FailureKind.DIED, reason="killed"))
    turn(loop, 1)
    loop.go(0, grant(slot=1))
    policy.held = False
    (sealed,) = only(turn(loop), Sealed)
    assert sealed.slot == 1
    assert sealed.num_decisions == 3


def test_a_grant_to_continue_a_lost_episode_is_dropped() -> None:
    loop = make(FakePool(1))
    turn(loop, 1)
    loop.go(0, Grant(slot=9, episode_id="gone", start=start(), continues=True))
    (dropped,) = turn(loop)
    assert isinstance(dropped, Dropped)
    assert dropped.slot == 9


def test_evaluation_is_greedy_and_reports_only_the_outcome() -> None:
    policy = FakePolicy()
    loop = make(FakePool(1, plan=lambda start: (3, False)), policy, chunk_decisions=1)
    loop.go(0, grant(slot=2, evaluate=True, greedy=True))
    events = turn(loop)
    (evaluated,) = only(events, Evaluated)
    assert evaluated.slot == 2
    assert not evaluated.outcome.success
    assert only(events, Sealed) == []
    assert all(greedy for _, _, greedy, _ in policy.asked)


def test_sampling_depends_on_slot_and_decision_alone() -> None:
    def seeds(env: int, others: int) -> list[int]:
        policy = FakePolicy()
        loop = make(FakePool(4), policy)
        for other in range(others):
            loop.go((env + 1 + other) % 4, grant(slot=50 + other))
        loop.go(env, grant(slot=7))
        turn(loop)
        return [seed for _, observation, _, seed in policy.asked if observation.frame[0, 0, 2] == 7]

    alone, crowded = seeds(env=0, others=0), seeds(env=3, others=2)
    assert alone == crowded
    assert len(set(alone)) == 3


class ListRecorder:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}
        self.num_actions = 0
        self.finished: list[str] = []
        self.discarded: list[str] = []

    def add_frame(self, episode_id: str, frame: np.ndarray, proprio: np.ndarray) -> None:
        assert proprio.shape == (8,)
        self.frames[episode_id] = self.frames.get(episode_id, 0) + 1

    def add_actions(self, episode_id: str, actions: np.ndarray) -> None:
        self.num_actions += 1

    def finish(self, outcome: EpisodeOutcome, instruction: str, surprise: list[float]) -> EpisodeOutcome:
        assert surprise == [1.0] * outcome.num_steps  # one decision a step, each of log-probability -1
        self.finished.append(outcome.episode_id)
        return outcome

    def discard(self, episode_id: str) -> None:
        self.discarded.append(episode_id)

    def close(self) -> None: ...


@pytest.mark.parametrize("breaks", [False, True])
def test_recorded_episodes_are_finished_or_discarded(breaks: bool) -> None:
    recorder = ListRecorder()
    loop = make(FakePool(2, breaks_at={0: 2} if breaks else {}), recorder=recorder)
    loop.go(0, grant(slot=0, record=True))
    loop.go(1, grant(slot=1))
    turn(loop)
    assert recorder.frames == {"e0": 2 if breaks else 4}
    assert recorder.num_actions == (2 if breaks else 3)
    assert (recorder.finished, recorder.discarded) == (([], ["e0"]) if breaks else (["e0"], []))


def test_a_paused_episode_that_an_evaluation_gives_up_leaves_no_recording_open() -> None:
    recorder = ListRecorder()
    loop = make(FakePool(1), recorder=recorder, chunk_decisions=1)
    loop.go(0, grant(slot=0, record=True))
    turn(loop)
    loop.go(0, grant(slot=1, evaluate=True, record=True))
    turn(loop)
    assert (recorder.finished, recorder.discarded) == (["e1"], ["e0"])
