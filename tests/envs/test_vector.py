"""A pool of environments: one contract for the fake and for LIBERO, then every way a worker can fail."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core.types import Start, StateSource, TaskId
from envs import worker
from envs.assets import resolve_assets
from envs.messages import FailureKind
from envs.vector import EnvFailed, EnvPool, EnvReady, Event
from tests.envs import fakes
from tests.envs.fakes import FakeSimulator, ReportingSimulator, command

SIZE = 32
MAX_STEPS = 12
STILL = command(0.0)
PATIENCE_S = 120.0


def start(task: int = 0, number: int = 0) -> Start:
    return Start(task=TaskId(suite="libero_spatial", index=task), source=StateSource.PUBLISHED, number=number)


def make_fake(num_envs: int, num_workers: int, **timeouts_s: Any) -> EnvPool:
    return EnvPool(
        num_envs,
        num_workers=num_workers,
        assets=Path(),
        size=SIZE,
        max_steps=MAX_STEPS,
        simulator=FakeSimulator,
        **timeouts_s,
    )


def make_libero(num_envs: int, num_workers: int) -> EnvPool:
    return EnvPool(
        num_envs,
        num_workers=num_workers,
        assets=resolve_assets("primitive"),
        size=SIZE,
        max_steps=MAX_STEPS,
        simulator=ReportingSimulator,
    )


def events_of(pool: EnvPool, num_events: int, patience_s: float = PATIENCE_S) -> list[Event]:
    """The next events, in order."""
    events: list[Event] = []
    until_s = time.monotonic() + patience_s
    while len(events) < num_events:
        assert time.monotonic() < until_s, f"only {events}"
        events += pool.poll(0.5)
    assert len(events) == num_events
    return events


def ready(pool: EnvPool) -> EnvReady:
    (event,) = events_of(pool, 1)
    assert isinstance(event, EnvReady), event
    return event


def reset(pool: EnvPool, env: int, begin: Start) -> EnvReady:
    pool.reset(env, begin)
    return ready(pool)


def step(pool: EnvPool, env: int, actions: np.ndarray) -> EnvReady:
    pool.step(env, actions)
    return ready(pool)


def failures(events: list[Event]) -> dict[int, FailureKind]:
    return {event.env: event.kind for event in events if isinstance(event, EnvFailed)}


@pytest.fixture(scope="module", params=[make_fake, make_libero], ids=["fake", "libero"])
def shared_pool(request: pytest.FixtureRequest) -> Iterator[EnvPool]:
    """Four environments in two workers: 0 and 2 share one, 1 and 3 the other."""
    make: Callable[[int, int], EnvPool] = request.param
    with make(4, 2) as pool:
        yield pool


class TestContract:
    def test_a_reset_shows_the_beginning(self, shared_pool: EnvPool) -> None:
        event = reset(shared_pool, 0, start())
        assert event.env == 0
        assert event.frame.shape == (SIZE, SIZE, 3)
        assert event.frame.dtype == np.uint8
        assert (event.reward, event.terminated, event.truncated) == (0.0, False, False)
        assert event.info["num_steps"] == 0

    def test_equal_starts_are_equal_in_every_worker(self, shared_pool: EnvPool) -> None:
        frames = [reset(shared_pool, env, start(number=3)).frame for env in range(4)]
        for frame in frames:
            np.testing.assert_array_equal(frame, frames[0])

    def test_environments_advance_independently(self, shared_pool: EnvPool) -> None:
        for env in range(4):
            reset(shared_pool, env, start())
        for _ in range(3):
            step(shared_pool, 2, STILL)
        assert step(shared_pool, 0, STILL).info["num_steps"] == 1
        assert step(shared_pool, 2, STILL).info["num_steps"] == 4

    def test_requests_of_many_are_answered_once_each(self, shared_pool: EnvPool) -> None:
        for env in range(4):
            shared_pool.reset(env, start())
        assert sorted(event.env for event in events_of(shared_pool, 4)) == [0, 1, 2, 3]
        for env in range(4):
            shared_pool.step(env, STILL)
        assert sorted(event.env for event in events_of(shared_pool, 4)) == [0, 1, 2, 3]
        assert shared_pool.poll(0.0) == []

    def test_several_actions_are_one_request_and_stop_at_the_limit(self, shared_pool: EnvPool) -> None:
        reset(shared_pool, 1, start())
        assert step(shared_pool, 1, np.tile(STILL, (8, 1))).info["num_steps"] == 8
        event = step(shared_pool, 1, np.tile(STILL, (8, 1)))
        assert event.info["num_steps"] == MAX_STEPS
        assert (event.truncated, event.terminated) == (True, False)

    def test_a_finished_episode_takes_no_more_steps(self, shared_pool: EnvPool) -> None:
        reset(shared_pool, 1, start())
        assert step(shared_pool, 1, np.tile(STILL, (MAX_STEPS, 1))).truncated
        with pytest.raises(ValueError, match="needs a reset"):
            shared_pool.step(1, STILL)

    def test_a_frame_handed_out_is_never_overwritten(self, shared_pool: EnvPool) -> None:
        up = np.array([0, 0, 1, 0, 0, 0, -1], dtype=np.float64)
        before = reset(shared_pool, 0, start()).frame
        copy = before.copy()
        after = step(shared_pool, 0, np.tile(up, (5, 1))).frame
        np.testing.assert_array_equal(before, copy)
        assert (after != before).any()

    def test_an_episode_can_be_left_for_another_task(self, shared_pool: EnvPool) -> None:
        first = reset(shared_pool, 0, start(task=0)).frame
        step(shared_pool, 0, STILL)
        assert reset(shared_pool, 0, start(task=1)).info["num_steps"] == 0
        np.testing.assert_array_equal(reset(shared_pool, 0, start(task=0)).frame, first)

    @pytest.mark.parametrize(
        "actions", [np.zeros(6), np.zeros((0, 7)), np.zeros((2, 2, 7)), np.full(7, np.nan)]
    )
    def test_bad_actions_are_refused_and_harm_nothing(
        self, shared_pool: EnvPool, actions: np.ndarray
    ) -> None:
        reset(shared_pool, 0, start())
        with pytest.raises(ValueError, match="allowed"):
            shared_pool.step(0, actions)
        assert step(shared_pool, 0, STILL).info["num_steps"] == 1

    def test_bad_environments_and_tasks_are_refused(self, shared_pool: EnvPool) -> None:
        with pytest.raises(ValueError, match="allowed is 0 to 3"):
            shared_pool.reset(4, start())
        with pytest.raises(ValueError, match="task"):
            shared_pool.reset(0, start(task=-1))

    def test_one_request_at_a_time(self, shared_pool: EnvPool) -> None:
        shared_pool.reset(0, start())
        with pytest.raises(ValueError, match="in flight"):
            shared_pool.reset(0, start())
        ready(shared_pool)

    def test_a_killed_worker_is_restarted_alone(self, shared_pool: EnvPool) -> None:
        for env in range(4):
            reset(shared_pool, env, start())
        expected = step(shared_pool, 0, STILL).frame
        pid = shared_pool.worker_pid(0)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        lost = events_of(shared_pool, 2)
        assert failures(lost) == {0: FailureKind.DIED, 2: FailureKind.DIED}
        assert all(isinstance(event, EnvFailed) and "SIGKILL" in event.reason for event in lost)
        with pytest.raises(ValueError, match="restart"):
            shared_pool.step(0, STILL)
        shared_pool.restart(0)
        shared_pool.restart(2)
        shared_pool.reset(0, start())
        assert step_while_others_wait(shared_pool, 1).info["num_steps"] == 1
        np.testing.assert_array_equal(step(shared_pool, 0, STILL).frame, expected)
        assert reset(shared_pool, 2, start()).info["num_steps"] == 0


def step_while_others_wait(pool: EnvPool, env: int) -> EnvReady:
    """A step of `env` while one other reset is in flight; that one is awaited too."""
    pool.step(env, STILL)
    events = {event.env: event for event in events_of(pool, 2)}
    answer = events[env]
    assert isinstance(answer, EnvReady)
    return answer


def test_libero_workers_import_neither_torch_nor_ray() -> None:
    with make_libero(1, 1) as pool:
        fresh = Start(task=start().task, source=StateSource.FRESH, number=5)
        assert reset(pool, 0, start()).info["foreign"] == []
        assert reset(pool, 0, fresh).info["foreign"] == []


def test_success_terminates() -> None:
    with make_fake(1, 1) as pool:
        reset(pool, 0, start())
        event = step(pool, 0, np.stack([STILL, command(fakes.SUCCEED), STILL]))
        assert (event.terminated, event.truncated, event.reward) == (True, False, 1.0)
        assert event.info["num_steps"] == 2


def test_a_build_does_not_stall_steps_of_the_same_worker() -> None:
    with make_fake(2, 1) as pool:
        reset(pool, 0, start(task=0))
        pool.reset(1, start(task=1))
        for count in range(1, 6):
            assert step(pool, 0, STILL).info["num_steps"] == count
        assert ready(pool).env == 1


def test_resets_during_a_build_keep_their_order() -> None:
    with make_fake(3, 1) as pool:
        for env, task in enumerate((0, 1, 0)):
            pool.reset(env, start(task=task))
        assert [event.env for event in events_of(pool, 3)] == [0, 1, 2]


def test_a_task_that_cannot_be_built_fails_its_environment_alone() -> None:
    with make_fake(2, 1) as pool:
        pool.reset(0, start(task=fakes.UNBUILDABLE_TASK))
        pool.reset(1, start())
        failed, other = events_of(pool, 2)
        assert isinstance(failed, EnvFailed)
        assert failed.kind is FailureKind.RAISED
        assert "told not to build" in failed.reason
        assert isinstance(other, EnvReady)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (fakes.DIVERGE, FailureKind.NOT_FINITE),
        (fakes.TURN_NAN, FailureKind.NOT_FINITE),
        (fakes.RAISE, FailureKind.RAISED),
    ],
)
def test_a_broken_environment_leaves_its_worker_alone(told: float, kind: FailureKind) -> None:
    with make_fake(2, 1) as pool:
        reset(pool, 0, start())
        reset(pool, 1, start())
        pid = pool.worker_pid(0)
        pool.step(0, command(told))
        assert failures(events_of(pool, 1)) == {0: kind}
        assert step(pool, 1, STILL).info["num_steps"] == 1
        pool.restart(0)
        with pytest.raises(ValueError, match="needs a reset"):
            pool.step(0, STILL)
        assert reset(pool, 0, start()).info["num_steps"] == 0
        assert pool.worker_pid(0) == pid


def test_a_worker_that_exits_is_reported_with_its_code() -> None:
    with make_fake(1, 1) as pool:
        reset(pool, 0, start())
        pool.step(0, command(fakes.DIE))
        (event,) = events_of(pool, 1)
        assert isinstance(event, EnvFailed)
        assert "exited with code 7" in event.reason


def test_no_exit_code_is_made_up_where_somebody_else_takes_them() -> None:
    """Ray does so in its workers: a child's code is gone before its parent asks."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with make_fake(1, 1) as pool:
            reset(pool, 0, start())
            pool.step(0, command(fakes.DIE))
            (event,) = events_of(pool, 1)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert isinstance(event, EnvFailed)
    assert "is gone" in event.reason


def test_a_hung_worker_is_killed_at_its_deadline_and_others_go_on() -> None:
    with make_fake(4, 2, step_timeout_s=3.0) as pool:
        for env in range(4):
            reset(pool, env, start())
        pid = pool.worker_pid(0)
        assert pid is not None
        began_s = time.monotonic()
        pool.step(0, command(fakes.HANG))
        assert step(pool, 1, STILL).info["num_steps"] == 1
        assert failures(events_of(pool, 2)) == {0: FailureKind.HUNG, 2: FailureKind.HUNG}
        assert 3.0 <= time.monotonic() - began_s < 15.0
        assert not psutil.pid_exists(pid)
        pool.restart(2)
        assert reset(pool, 2, start()).info["num_steps"] == 0
        assert step(pool, 1, STILL).info["num_steps"] == 2


Pids = Callable[[], set[int]]


@pytest.fixture
def worker_pids() -> Pids:
    """Worker processes of this process that live now and were not there before the test."""
    before = set(psutil.Process().children())

    def pids() -> set[int]:
        new = set(psutil.Process().children()) - before
        return {child.pid for child in new if child.status() != psutil.STATUS_ZOMBIE}

    return pids


def test_a_spare_takes_the_place_of_a_lost_worker_and_is_replaced(worker_pids: Pids) -> None:
    with make_fake(2, 2, has_spare=True) as pool:
        assert len(worker_pids()) == 2  # it comes with the first answer
        reset(pool, 1, start())
        (spare,) = worker_pids() - {pool.worker_pid(0), pool.worker_pid(1)}
        for expected in (spare, None):  # the second time, it is a spare that was launched meanwhile
            wait_for_a_prepared_spare(pool)
            reset(pool, 0, start())
            pool.step(0, command(fakes.DIE))
            assert failures(events_of(pool, 1)) == {0: FailureKind.DIED}
            waiting = worker_pids() - {pool.worker_pid(1)}
            pool.restart(0)
            assert {pool.worker_pid(0)} == waiting
            assert expected in (pool.worker_pid(0), None)
            assert reset(pool, 0, start()).info["num_steps"] == 0
            assert len(worker_pids()) == 3


def test_a_spare_that_died_or_is_not_ready_is_done_without(worker_pids: Pids) -> None:
    with make_fake(1, 1, has_spare=True) as pool:
        reset(pool, 0, start())
        (spare,) = worker_pids() - {pool.worker_pid(0)}
        os.kill(spare, signal.SIGKILL)
        for _ in range(2):  # the second time the new spare has only just been launched
            pool.step(0, command(fakes.DIE))
            events_of(pool, 1)
            pool.restart(0)
            assert reset(pool, 0, start()).info["num_steps"] == 0
    assert not worker_pids()


def test_what_is_done_in_the_background_leaves_its_process_as_urgent_as_before() -> None:
    before, during = thread_priority(), []
    worker._in_the_background(lambda: during.append(thread_priority()))
    assert during == [max(before, worker.LOW_PRIORITY)]
    assert thread_priority() == before


def thread_priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def wait_for_a_prepared_spare(pool: EnvPool) -> None:
    assert pool._spare is not None
    wait_until(pool._spare.is_prepared)


def wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_a_worker_that_does_not_come_up_is_reported() -> None:
    with make_fake(1, 1, reset_timeout_s=0.2) as pool:
        pool.reset(0, start())
        assert failures(events_of(pool, 1)) == {0: FailureKind.HUNG}


def test_a_slow_neighbour_is_no_hang() -> None:
    """A step queued behind others is judged from the worker's last answer, not from when it was sent."""
    with make_fake(3, 1, step_timeout_s=1.8 * fakes.SLOW_S) as pool:
        for env in range(3):
            reset(pool, env, start())
        for env in range(3):
            pool.step(env, command(fakes.SLOW))
        assert failures(events_of(pool, 3)) == {}


def test_closing_ends_the_workers_even_one_that_hangs() -> None:
    pool = make_fake(2, 2)
    for env in range(2):
        reset(pool, env, start())
    pids = [pool.worker_pid(env) for env in range(2)]
    pool.step(0, command(fakes.HANG))
    pool.close()
    pool.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(ValueError, match="closed"):
        pool.reset(1, start())


def test_more_workers_than_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed is 1 to num_envs=2"):
        make_fake(2, 3)


def test_what_a_worker_said_before_it_died_is_heard_first() -> None:
    """An owner that resets what has just ended must not be refused because the worker has died since."""
    with make_fake(2, 1) as pool:
        for env in range(2):
            reset(pool, env, start())
        pool.step(0, command(fakes.SUCCEED))
        pool.step(1, command(fakes.DIE))
        wait_for_end(pool, 0)
        (ended,) = pool.poll(1.0)
        assert isinstance(ended, EnvReady)
        assert ended.terminated
        pool.reset(0, start())
        assert failures(events_of(pool, 2)) == dict.fromkeys((0, 1), FailureKind.DIED)
        assert pool.poll(0.01) == [], "with no worker left there is nothing to wait for"
        pool.restart(0)
        assert reset(pool, 0, start()).info["num_steps"] == 0


def wait_for_end(pool: EnvPool, env: int) -> None:
    pid = pool.worker_pid(env)
    assert pid is not None
    until_s = time.monotonic() + PATIENCE_S
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until_s
        time.sleep(0.02)


OWNER = """
    import time
    from tests.envs.test_vector import *
    pool = make_fake(2, 2)
    for env in range(2):
        reset(pool, env, start())
    pool.step(0, command(fakes.HANG))
    print(pool.worker_pid(0), pool.worker_pid(1), flush=True)
    time.sleep(1000)
"""


def test_nothing_is_left_behind_by_a_killed_owner() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(psutil.pid_exists, pids))
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5)
    assert not alive
