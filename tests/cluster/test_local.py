"""Whole runs under Ray by the real command line: vLLM, DeepSpeed, LIBERO; then everything is killed."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from core.metrics import read_lines
from drills.__main__ import make_reward_model
from tests.cluster.processes import PATIENCE_S, descendant, train, trained_slots, updates, wait_for

LOCAL = [
    "run.mode=local",
    "env.envs_per_actor=2",
    "env.workers_per_actor=1",
    "engine.max_num_seqs=4",
    "critic.warmup_updates=0",
]
RESUMABLE = 75


def test_a_run_from_start_to_end(short_run: list[str], tmp_path: Path) -> None:
    model = f"reward.checkpoint={make_reward_model(tmp_path / 'model')}"
    with train(tmp_path, [*short_run, *LOCAL, model, "run.name=one", "run.num_updates=3"]) as process:
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log.txt").read_text()
    lines = updates(tmp_path / "one")
    assert all(line["reward/score"] > 0 and line["reward/chunks_unscored"] == 0 for line in lines)
    assert [line["update"] for line in lines] == [1, 2, 3]
    assert all(line["learner/lag_max"] <= 2 for line in lines)
    assert all(line["weights/probe_error"] < 1e-4 for line in lines)
    assert lines[-1]["weights/version"] == 3
    slots = trained_slots(tmp_path / "one")
    assert len(set(slots)) == len(slots)
    assert "greedy success" in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "one/checkpoints/last").resolve().name == "000003"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_learner_ranks_from_start_to_end_and_one_goes_on(short_run: list[str], tmp_path: Path) -> None:
    """Under Ray, sharded; then resumed with another number of ranks."""
    ranks = ["learner.num_ranks=2", "learner.zero_stage=2", "run.name=two", "run.num_updates=2"]
    with train(tmp_path, [*short_run, *LOCAL, *ranks]) as process:
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log.txt").read_text()
    resume = ["--resume", str(tmp_path / "two"), "run.num_updates=3", "learner.num_ranks=1"]
    with train(tmp_path, resume) as process:
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log.txt").read_text()
    lines = updates(tmp_path / "two")
    assert [line["update"] for line in lines] == [1, 2, 3]
    assert all(line["weights/probe_error"] < 1e-4 for line in lines)
    assert lines[-1]["weights/version"] == 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_everything_killed_in_turn_and_the_run_completes(short_run: list[str], tmp_path: Path) -> None:
    drills = {
        "environment": "envs.worker",
        "env_actor": "ray::EnvActor",
        "replica": "ray::InferenceActor",
        "learner": "ray::LearnerActor",
    }
    run = tmp_path / "drill"
    words = [*short_run, *LOCAL, "run.name=drill", "run.num_updates=100000", "run.checkpoint_every=1"]
    with train(tmp_path, words) as process:
        wait_for(lambda: len(updates(run)) >= 1, process, "the first update")
        for fault, name in drills.items():
            descendant(process, name).kill()
            wait_for(
                lambda fault=fault: any(line[f"faults/{fault}"] for line in updates(run)),  # type: ignore[misc]
                process,
                f"an update after {fault} was killed",
            )
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == RESUMABLE
    last = updates(run)[-1]
    assert {fault: last[f"faults/{fault}"] for fault in drills if fault != "environment"} == {
        "env_actor": 1,
        "replica": 1,
        "learner": 1,
    }
    assert [line["update"] for line in updates(run)] == list(range(1, last["update"] + 1))
    assert all(line["learner/lag_max"] <= 2 for line in updates(run))
    slots = trained_slots(run)
    assert len(set(slots)) == len(slots)
    assert_at_most_one_update_lost(run)
    with train(tmp_path, ["--resume", str(run), f"run.num_updates={last['update'] + 1}"]) as process:
        assert process.wait(PATIENCE_S) == 0
    assert len(updates(run)) == last["update"] + 1


def assert_at_most_one_update_lost(run: Path) -> None:
    """With the learner, where every update has its checkpoint."""
    events = list(read_lines(run / "events.jsonl"))
    (death,) = (n for n, event in enumerate(events) if event.get("fault") == "learner")
    before, since = (
        [event["update"] for event in part if event["kind"] == "trained"]
        for part in (events[:death], events[death:])
    )
    assert before[-1] >= 2
    assert since[0] >= before[-1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_driver_loses_at_most_one_checkpoint_interval(short_run: list[str], tmp_path: Path) -> None:
    run = tmp_path / "killed"
    words = [*short_run, "run.mode=inline", "env.envs_per_actor=1", "env.workers_per_actor=1"]
    with train(tmp_path, [*words, "run.name=killed", "run.num_updates=100000"]) as process:
        wait_for(lambda: len(updates(run)) >= 5, process, "five updates")
        workers = [descendant(process, "envs.worker").pid]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = updates(run)[-1]["update"]
    wait_until = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in workers) and time.monotonic() < wait_until:
        time.sleep(0.1)
    assert not any(psutil.pid_exists(pid) for pid in workers)
    with train(tmp_path, ["--resume", str(run), f"run.num_updates={done + 1}"]) as process:
        assert process.wait(PATIENCE_S) == 0
    assert [line["update"] for line in updates(run)] == list(range(1, done + 2))
    (resumed,) = [event for event in read_lines(run / "events.jsonl") if event["kind"] == "resumed"]
    assert done - 2 < resumed["update"] <= done
