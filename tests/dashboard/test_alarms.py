"""Every alarm is driven by a run that has its trouble, and is quiet in one that just has not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.alarms import RULES, findings
from dashboard.run import Run
from tests.dashboard.synthetic import Story, SyntheticRun

FLAT = {"rollout/success": 0.3}
HARD = {f"curriculum/success/libero_spatial/{index}": 0.02 for index in range(2)}
EASY = {f"curriculum/success/libero_spatial/{index}": 0.97 for index in range(2)}
HALF_EASY = {"curriculum/success/libero_spatial/0": 0.99, "curriculum/success/libero_spatial/1": 0.5}


def grows(start: float, end: float) -> Callable[[float], float]:
    return lambda progress: start + (end - start) * progress


# Over the last 60 updates the halves' means differ by half of what a metric grows from beginning to end.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("entropy_collapsed", {"learner/entropy": 0.09}, {"learner/entropy": 0.11}),
    (
        "longer_but_no_better",
        FLAT | {"rollout/episode_steps": grows(100, 150)},
        FLAT | {"rollout/episode_steps": grows(100, 120)},
    ),
    (
        "longer_but_no_better",
        FLAT | {"rollout/episode_steps": grows(100, 150)},
        {"rollout/success": grows(0.2, 0.9)},
    ),
    (
        "reward_but_no_success",
        FLAT | {"learner/return": grows(0.2, 0.5)},
        FLAT | {"learner/return": grows(0.2, 0.3)},
    ),
    ("curriculum_stuck", HARD, HALF_EASY),
    ("curriculum_stuck", EASY, HALF_EASY),
    ("lag_at_bound", {"learner/lag_mean": 1.9}, {"learner/lag_mean": 1.7}),
    ("pushed_but_unchanged", {"weights/probe_change": 0.0}, {"weights/probe_change": 1e-5}),
    (
        "pushed_but_unchanged",
        {"weights/probe_change": 0.0},
        {"weights/probe_change": 0.0, "learner/warmup": 1.0},
    ),
    ("policy_jumps", {"learner/kl": 0.06}, {"learner/kl": 0.04}),
    ("samples_lost", {"learner/decisions_quarantined": 6.0}, {"learner/decisions_quarantined": 5.0}),
    ("engine_differs", {"learner/importance_capped": 0.06}, {"learner/importance_capped": 0.04}),
]


def write(folder: Path, metrics: dict[str, Any], *, ended: bool = True) -> SyntheticRun:
    story = Story(num_updates=60, num_episodes=0, num_tasks=2, video_every=0, metrics=metrics, ended=ended)
    return SyntheticRun(folder, story).write()


def states(folder: Path, now: float = Story.now) -> dict[str, str]:
    run = Run(folder)
    run.refresh()
    return {found["name"]: found["state"] for found in findings(run, now)}


def test_a_healthy_run_raises_no_alarm(tmp_path: Path) -> None:
    write(tmp_path / "run", {})
    assert set(states(tmp_path / "run").values()) == {"quiet"}


@pytest.mark.parametrize(("name", "troubled", "sound"), CASES)
def test_it_fires_beyond_its_threshold_and_only_there(
    tmp_path: Path, name: str, troubled: dict[str, Any], sound: dict[str, Any]
) -> None:
    write(tmp_path / "troubled", troubled)
    write(tmp_path / "sound", sound)
    assert states(tmp_path / "troubled")[name] == "firing"
    assert states(tmp_path / "sound")[name] != "firing"


def test_one_update_that_goes_too_far_is_told_at_once(tmp_path: Path) -> None:
    """And not for long: the learner may well have caught it."""
    run = write(tmp_path / "run", {"learner/kl": 0.02}, ended=False)
    run.append("metrics.jsonl", run.scalars(61) | {"learner/kl": 0.071})
    run.append("metrics.jsonl", run.scalars(62) | {"learner/kl": 0.02})
    assert states(tmp_path / "run")["policy_jumps"] == "firing"
    for update in (63, 64):
        run.append("metrics.jsonl", run.scalars(update) | {"learner/kl": 0.02})
    assert states(tmp_path / "run")["policy_jumps"] == "quiet"


@pytest.mark.parametrize(("number", "state"), [(3, "firing"), (2, "quiet")])
def test_restarts(tmp_path: Path, number: int, state: str) -> None:
    run = write(tmp_path / "run", {})
    for count in range(number):
        run.append("events.jsonl", run.event(59, "fault", fault="replica", reason="killed", count=count + 1))
    run.append("events.jsonl", run.event(-500, "fault", fault="replica", reason="long ago", count=9))
    assert states(tmp_path / "run")["restarts"] == state


@pytest.mark.parametrize(
    ("silence_s", "ended", "state"), [(310, False, "firing"), (290, False, "quiet"), (9999, True, "quiet")]
)
def test_no_episode_for_a_while(tmp_path: Path, silence_s: float, ended: bool, state: str) -> None:
    write(tmp_path / "run", {}, ended=ended)
    assert states(tmp_path / "run", Story.now + silence_s)["nothing_comes"] == state


def test_a_run_that_has_just_been_resumed_is_waited_for(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {}, ended=True)
    run.append("events.jsonl", run.event(60, "resumed", update=60) | {"time": Story.now + 7200})
    assert states(tmp_path / "run", Story.now + 7200 + 290)["nothing_comes"] == "quiet"
    assert states(tmp_path / "run", Story.now + 7200 + 310)["nothing_comes"] == "firing"


def test_an_evaluation_is_told_at_its_end(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {}, ended=False)
    run.append("events.jsonl", run.event(60, "evaluating", update=60))
    assert states(tmp_path / "run", Story.now + 3500)["nothing_comes"] == "quiet"
    assert states(tmp_path / "run", Story.now + 3700)["nothing_comes"] == "firing"
    run.append("events.jsonl", run.evaluation(60) | {"time": Story.now + 3700})
    assert states(tmp_path / "run", Story.now + 3700 + 310)["nothing_comes"] == "firing"


def test_a_run_that_was_told_to_stop_and_does_not_is_missed(tmp_path: Path) -> None:
    run = write(tmp_path / "run", {}, ended=False)
    run.append("events.jsonl", run.event(60, "told_to_stop", signal="SIGTERM"))
    assert states(tmp_path / "run", Story.now + 310)["nothing_comes"] == "firing"


def test_patience_grows_with_the_time_of_an_update(tmp_path: Path) -> None:
    write(tmp_path / "run", {"time/interval_s": 200.0}, ended=False)
    assert states(tmp_path / "run", Story.now + 900)["nothing_comes"] == "quiet"
    assert states(tmp_path / "run", Story.now + 1100)["nothing_comes"] == "firing"


def test_every_rule_has_a_test_that_drives_it() -> None:
    driven = {name for name, _, _ in CASES} | {"restarts", "nothing_comes"}
    assert driven == {rule.name for rule in RULES}


def test_too_young_a_run_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("{}")
    found = states(tmp_path / "run")
    assert set(found.values()) == {"unknown", "quiet"}
    assert found["entropy_collapsed"] == "unknown"
