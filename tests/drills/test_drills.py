"""The short form of the drills, on a real run; and that orders and verdicts do what they say."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drills import orders, phases
from drills.__main__ import all_rows
from drills.system import System
from drills.table import REST, SHORT, Drill

HERE = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1800)
def test_the_short_drills(tmp_path: Path) -> None:
    rows = all_rows(tmp_path, list(SHORT), whole=False)
    # How fast, is for a quiet machine to say (`make drills`); here only that everything came back.
    wrong = [row for row in rows if row.ok is False and not row.target.startswith((">=", "<="))]
    failed = [
        row for row in rows if row.target.startswith("<=") and row.note and "did not happen" in row.note
    ]
    assert not [*wrong, *failed]
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

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.written = events

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.written


def episode(env: int) -> dict[str, Any]:
    return {"kind": "episode", "env": env, "steps": 10}


FAULT = {"kind": "fault", "fault": "environment"}


@pytest.mark.parametrize(
    ("events", "whole"),
    [
        ([episode(0), episode(1)], False),  # nothing was put on record
        ([FAULT, episode(0)], False),  # one environment is still away
        ([episode(0), FAULT, episode(1)], False),  # one of them ended before
        ([FAULT, episode(2), episode(0), episode(1)], True),
    ],
)
def test_whole_again_means_every_affected_environment_has_played(
    events: list[dict[str, Any]], whole: bool
) -> None:
    drill = Drill(
        name="x",
        inject=lambda _: None,
        holds="y",
        limit_s=1,
        affected=frozenset({0, 1}),
        counted="environment",
    )
    assert phases._is_whole(WrittenSystem([FAULT, *events]), drill, 1) is whole


def test_a_part_that_was_restarted_though_nothing_should_be_is_a_failure() -> None:
    drill = Drill(name="x", inject=lambda _: None, holds="y", limit_s=1.0, affected=frozenset())
    assert phases._verdict(drill, 0.5, 0) == ""
    assert phases._verdict(drill, 0.5, 1) == "1 parts were restarted"
    assert "took 2 s" in phases._verdict(drill, 2.0, 0)


def test_waiting_for_a_run_that_ends_fails_at_once(tmp_path: Path) -> None:
    run = tmp_path / "none"
    began = time.monotonic()
    with System(tmp_path, ["--resume", str(run)], run) as system, pytest.raises(AssertionError) as failure:
        system.wait_for(lambda: False, "a wonder", 60)
    assert "is not a run folder" in str(failure.value)
    assert time.monotonic() - began < 50
