"""Environment actors under Ray that die at the worst moments: every grant ends exactly once.

The actors are the real ones, over environments that answer at once.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError

from actors.env_actor import EnvActor
from actors.messages import Dropped, Event, Grant, Idle, Sealed
from actors.rollout import RolloutLoop
from cluster.fleet import RayFleet
from core.types import Start, StateSource, TaskId, TrajectoryChunk
from tests.actors.fakes import FakePolicy, FakePool, FakeView

NUM_ENVS = 2
PATIENCE_S = 60.0
UNPLAYABLE = -1
"""An episode of this number raises within the actor."""


class UnplayablePool(FakePool):
    def reset(self, env: int, start: Start) -> None:
        if start.number == UNPLAYABLE:
            raise ValueError("unplayable")
        time.sleep(0.002)
        super().reset(env, start)


def make_loop() -> RolloutLoop:
    pool = UnplayablePool(NUM_ENVS)
    return RolloutLoop(pool, FakePolicy(), FakeView(), num_envs=NUM_ENVS, instruction=lambda start: "go")


class Actor(EnvActor):
    """One that can be found and killed."""

    def pid(self) -> int:
        return os.getpid()


class Driver:
    """Grants an episode to whoever is idle, and keeps the books."""

    def __init__(self, handles: list[Any]) -> None:
        self.handles = handles
        self.fleet = RayFleet(self.handles, NUM_ENVS)
        self.open: dict[int, int] = {}
        """Environment to the slot it plays."""
        self.ends: Counter[int] = Counter()
        self.sealed: set[int] = set()
        self.chunks: list[Any] = []
        self.num_granted = 0
        self.idle: set[int] = set()
        self.lost: list[int] = []

    def turn(self, *, grants: bool = True) -> list[Event]:
        while grants and self.idle:
            self.grant(self.idle.pop(), self.num_granted)
        events = self.fleet.poll(0.02)
        for event in events:
            if isinstance(event, Idle):
                assert event.env not in self.open, "idle while it plays"
                self.idle.add(event.env)
            elif isinstance(event, Sealed | Dropped):
                assert self.open.pop(event.env) == event.slot
                self.ends[event.slot] += 1
                if isinstance(event, Sealed):
                    self.sealed.add(event.slot)
                    self.chunks.append(event.chunk)
        for member in self.fleet.lost():
            self.lost.append(member)
            self.fleet.mend(member)
        return events

    def grant(self, env: int, number: int) -> None:
        task = TaskId(suite="libero_spatial", index=0)
        slot = self.num_granted
        start = Start(task=task, source=StateSource.FRESH, number=number)
        self.fleet.go(env, Grant(slot=slot, episode_id=f"0-{slot}", start=start))
        assert env not in self.open
        self.open[env] = slot
        self.num_granted += 1

    def until(self, done: Callable[[], object], *, grants: bool = True) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline
            self.turn(grants=grants)

    def envs_of(self, number: int) -> set[int]:
        return set(range(number * NUM_ENVS, (number + 1) * NUM_ENVS))

    def kill(self, number: int) -> None:
        os.kill(self.pid(number), signal.SIGKILL)

    def pid(self, number: int) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(ActorUnavailableError):  # it is just coming back
                return int(ray.get(self.handles[number].pid.remote(), timeout=PATIENCE_S))
            self.turn()
        raise AssertionError(f"actor {number} did not come back")

    def settle(self) -> None:
        """Let what is open end."""
        self.until(lambda: not self.open and len(self.idle) == len(self.handles) * NUM_ENVS, grants=False)
        assert sorted(self.ends) == list(range(self.num_granted))
        assert set(self.ends.values()) == {1}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def driver() -> Iterator[Any]:
    actor = ray.remote(Actor).options(max_restarts=-1, max_concurrency=2, num_cpus=0)
    driver = Driver([actor.remote(make_loop) for _ in range(2)])
    driver.until(lambda: len(driver.idle) == 2 * NUM_ENVS, grants=False)
    yield driver
    driver.fleet.close()


def test_every_grant_ends_once_whenever_an_actor_dies(driver: Driver) -> None:
    moments = random.Random(0)
    for victim in (0, 1, 1, 0):
        goal = driver.num_granted + moments.randrange(5, 60)
        driver.until(lambda goal=goal: driver.num_granted > goal)
        driver.until(lambda victim=victim: driver.open.keys() & driver.envs_of(victim))
        before = len(driver.lost)
        driver.kill(victim)
        driver.until(lambda before=before: len(driver.lost) > before)
    assert driver.lost == [0, 1, 1, 0]
    driver.settle()
    assert len(driver.sealed) > 20
    assert all(chunk.num_decisions == 3 for chunk in ray.get(driver.chunks))


def test_what_is_granted_to_an_actor_that_is_away_is_dropped_at_once(driver: Driver) -> None:
    """Its environments were idle and waited for room when it died."""
    driver.kill(0)
    driver.until(lambda: driver.lost == [0], grants=False)
    driver.idle -= {0, 1}
    driver.grant(0, 1)
    assert [type(event) for event in driver.turn(grants=False)] == [Dropped]
    driver.until(lambda: {0, 1} <= driver.idle, grants=False)
    driver.until(lambda: len(driver.sealed) >= 8)
    driver.settle()


class DyingBeforeItsChunk(EnvActor):
    """Says that a chunk is complete, and dies before it can be had; or stops, as a process that hangs."""

    def __init__(self, sign: signal.Signals, once: Path) -> None:
        super().__init__(make_loop)
        self._sign, self._once = sign, once

    def _turn(self) -> Iterator[Any]:
        for item in super()._turn():
            if isinstance(item, TrajectoryChunk) and not self._once.exists():
                self._once.touch()
                time.sleep(0.5)  # until what was said before has been heard
                os.kill(os.getpid(), self._sign)
            yield item


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_chunk_that_died_with_its_actor_is_no_chunk(
    sign: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.fleet.ANSWER_S", 2.0)
    actor = ray.remote(DyingBeforeItsChunk).options(max_restarts=-1, max_concurrency=2, num_cpus=0)
    driver = Driver([actor.remote(sign, tmp_path / "once")])
    try:
        driver.until(lambda: driver.lost == [0] and len(driver.sealed) >= 10)
        driver.settle()
        assert len(driver.ends) > len(driver.sealed)
        for chunk in driver.chunks:
            assert ray.get(chunk).num_decisions == 3
    finally:
        driver.fleet.close()


class BeginningAtTheThirdTry:
    """Works at first; the process after that finds something still taken, the next one works."""

    def __init__(self, lives: Path) -> None:
        self._lives = lives

    def __call__(self) -> RolloutLoop:
        with self._lives.open("a") as lives:
            lives.write("x")
        if len(self._lives.read_text()) == 2:
            raise RuntimeError("the dead one's memory has not been given back")
        return make_loop()


def test_an_actor_whose_restart_fails_is_restarted_again(tmp_path: Path) -> None:
    actor = ray.remote(Actor).options(max_restarts=-1, max_concurrency=2, num_cpus=0)
    driver = Driver([actor.remote(BeginningAtTheThirdTry(tmp_path / "lives"))])
    try:
        driver.until(lambda: len(driver.idle) == NUM_ENVS, grants=False)
        driver.kill(0)
        driver.until(lambda: driver.lost == [0], grants=False)
        driver.idle.clear()
        driver.until(lambda: len(driver.idle) == NUM_ENVS, grants=False)
        assert (tmp_path / "lives").read_text() == "xxx"
    finally:
        driver.fleet.close()


def test_an_actor_in_which_something_is_wrong_begins_anew(driver: Driver) -> None:
    before = driver.pid(1)
    driver.idle.discard(2)
    driver.grant(2, UNPLAYABLE)
    driver.until(lambda: driver.lost == [1], grants=False)
    driver.until(lambda: {2, 3} <= driver.idle, grants=False)
    assert driver.pid(1) != before
    driver.settle()


def test_an_actor_that_finds_no_room_is_told_of_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = ray.remote(EnvActor)
    options = {"max_restarts": -1, "max_concurrency": 2}
    driver = Driver([actor.options(num_cpus=n, **options).remote(make_loop) for n in (0, 64)])
    try:
        driver.until(lambda: len(driver.idle) == NUM_ENVS, grants=False)
        monkeypatch.setattr("cluster.fleet.START_TIMEOUT_S", 0.5)
        driver.until(lambda: driver.lost == [1, 1])
    finally:
        driver.fleet.close()


def test_a_fleet_of_which_nobody_comes_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.fleet.START_TIMEOUT_S", 0.5)
    actor = ray.remote(EnvActor).options(max_restarts=-1, max_concurrency=2, num_cpus=64)
    driver = Driver([actor.remote(make_loop)])
    try:
        with pytest.raises(RuntimeError, match=r"env.workers_per_actor .*`ray status`"):
            driver.until(lambda: False)
    finally:
        driver.fleet.close()
