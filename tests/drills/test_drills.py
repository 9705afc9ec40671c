"""The short form of the drills, on a real run; and that orders and verdicts do what they say."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from drills import orders, phases
from drills.__main__ import all_rows
from drills.record import Event, Record, steps_per_s
from drills.system import System
from drills.table import REST, SHORT, Drill

HERE = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1800)
def test_the_short_drills(tmp_path: Path) -> None:
    """How fast things are, is for a quiet machine to say (`make drills`); here, that all holds."""
    rows = all_rows(tmp_path, list(SHORT), whole=False, timed=False)
    assert not [row for row in rows if row.ok is False]
    names = {row.name for row in rows}
    assert {drill.name for drill in SHORT} <= names
    assert "SIGTERM: no process or shared memory left" in names


def test_every_drill_has_a_name_of_its_own_and_says_what_must_hold() -> None:
    drills = [*SHORT, *REST]
    assert len({drill.name for drill in drills}) == len(drills)
    assert all(drill.holds and drill.limit_s > 0 for drill in drills)


VICTIM = """
import sys, threading, time
from drills import orders
orders.listen()
beats = 0
def beat():
    global beats
    while True:
        beats += 1
        time.sleep(0.01)
threading.Thread(target=beat, daemon=True).start()
print("ready", flush=True)
before = time.time()
while time.time() - before < 1800:
    time.sleep(0.05)
print("jumped", flush=True)
"""


def test_a_process_carries_out_its_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(orders.VARIABLE, str(tmp_path))
    victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True, cwd=HERE)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "ready\n"
    orders.give(tmp_path, victim.pid, "jump_clock", seconds=3600.0)
    assert victim.stdout.readline() == "jumped\n"
    assert orders.is_taken(tmp_path, victim.pid)
    assert victim.wait(30) == 0


def test_a_fault_is_made_once() -> None:
    from drills.faults import _once

    class Counter:
        def count(self, by: int) -> int:
            return by

    _once(Counter, "count", lambda count, counter, by: -count(counter, by))
    assert [Counter().count(1), Counter().count(1)] == [-1, 1]


class WrittenSystem(System):
    """A run folder that a test writes, without a run."""

    def __init__(self, events: list[Event]) -> None:
        self.written = events

    @property
    def events(self) -> list[Event]:
        return self.written


def drill(counted: str | None) -> Drill:
    return Drill(name="x", inject=lambda _: None, holds="y", limit_s=1.0, counted=counted)


def episode(env: int, seen_s: float = 0.0) -> Event:
    return {"kind": "episode", "env": env, "steps": 10, "seen_s": seen_s}


def fault(kind: str, member: int) -> Event:
    return {"kind": "fault", "fault": kind, "member": member}


@pytest.mark.parametrize(
    ("counted", "events", "whole"),
    [
        ("environment", [episode(0), episode(1)], False),  # nothing was put on record
        ("environment", [fault("environment", 0), fault("environment", 1), episode(0)], False),
        ("environment", [fault("replica", 0), *map(episode, range(4))], False),  # something else broke
        ("environment", [episode(1), fault("environment", 1), episode(0)], False),  # that was before
        ("environment", [fault("environment", 1), episode(1)], True),
        ("env_actor", [fault("env_actor", 1), episode(0), episode(2)], False),
        ("env_actor", [fault("env_actor", 1), episode(2), episode(3)], True),
        ("replica", [fault("replica", 0), *map(episode, range(3))], False),
        ("replica", [fault("replica", 0), *map(episode, range(4))], True),
        (None, [*map(episode, range(3))], False),
        (None, [*map(episode, range(4))], True),
    ],
)
def test_whole_again_means_every_environment_that_was_touched_has_played(
    counted: str | None, events: list[Event], whole: bool
) -> None:
    system = WrittenSystem([fault("environment", 0), *map(episode, range(4)), *events])
    assert phases._is_whole(system, drill(counted), mark=5) is whole


@pytest.mark.parametrize(("timed", "failure"), [(True, "took 2 s, not 1"), (False, "")])
def test_late_is_a_failure_where_time_counts(timed: bool, failure: str) -> None:
    assert phases._verdict(drill(None), 2.0, [], 0, timed=timed) == failure
    assert phases._verdict(drill(None), 0.5, [], 0, timed=timed) == ""


def test_what_was_to_break_nothing_restarts_and_drops_nothing() -> None:
    broken = [fault("replica", 0), {"kind": "dropped"}, fault("replica", 0)]
    said = phases._verdict(drill(None), 0.5, broken, 0, timed=False)
    assert said == "2 parts were restarted, 1 episodes dropped"
    assert phases._verdict(drill(None), 0.5, broken, 3, timed=False) == ""
    assert phases._verdict(drill("replica"), 0.5, broken, 0, timed=False) == ""


@pytest.mark.parametrize(("again", "lost"), [(8, 0), (7, 1), (6, 2), (1, 7)])
def test_a_dead_learner_goes_back_one_checkpoint_at_most(again: int, lost: int) -> None:
    made = [{"kind": "trained", "update": update} for update in range(1, 8)]
    events = [*made, fault("learner", 0), {"kind": "trained", "update": again}]
    assert phases._updates_lost(events, 5) == lost
    said = phases._verdict(drill("learner"), 0.5, events, 5, timed=False)
    assert bool(said) is (lost > 1)


def test_a_rate_does_not_depend_on_where_its_window_opens() -> None:
    """10 steps every 4 s are 2.5 a second, in windows of 5 s that hold one end of an episode or two."""
    events = [episode(0, seen_s) for seen_s in (0.0, 4.0, 8.0, 12.0, 16.0)] + [episode(1, 6.0)]
    for began_s in (0.0, 1.0, 3.5, 6.0):
        assert steps_per_s(events, [0], began_s, began_s + 5.0) == pytest.approx(2.5)
    assert steps_per_s(events, [0], 14.0, 24.0) == pytest.approx(0.5)  # it stands still from 16 on
    assert steps_per_s(events, [0, 1], 0.0, 5.0) == pytest.approx(2.5)  # of 1 nobody knows how long it took


def test_the_record_is_read_as_it_grows(tmp_path: Path) -> None:
    file, record = tmp_path / "events.jsonl", Record(tmp_path)
    assert record.events() == []
    file.write_text('{"kind": "episode"}\n{"kind": "moments"}\n{"kind": "fa')
    assert [event["kind"] for event in record.events()] == ["episode"]
    with file.open("a") as end:
        end.write('ult"}\n')
    assert [event["kind"] for event in record.events()] == ["episode", "fault"]
    assert record.events()[0]["seen_s"] <= record.events()[1]["seen_s"]


def test_waiting_for_a_run_that_ends_fails_at_once(tmp_path: Path) -> None:
    run = tmp_path / "none"
    began = time.monotonic()
    with System(tmp_path, ["--resume", str(run)], run) as system, pytest.raises(AssertionError) as failure:
        system.wait_for(lambda: False, "a wonder", 60)
    assert "is not a run folder" in str(failure.value)
    assert time.monotonic() - began < 50
