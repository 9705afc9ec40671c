"""Evaluation: every start played once whatever breaks, rates and intervals by hand, sampling that repeats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.eval_report import EvalReport
from actors.evaluator import MAX_ATTEMPTS, evaluate
from actors.recorder import Recorder
from actors.rollout import RolloutLoop
from core.config import RenderMode
from core.intervals import wilson
from core.types import Decision, EpisodeOutcome, Observation, Start, StateSource, TaskId
from envs.suites import published_starts, task
from envs.vector import EnvPool
from tests.envs.fakes import DIE, MAX_STEPS, SUCCEED, FakeSimulator, command

Rule = Callable[[Observation, int], float]
"""What the fake policy commands, given what it sees and the seed it was asked with."""


class RulePolicy:
    """Answers the oldest two requests of each poll by a rule."""

    patience_s = 0.0

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._requests: list[tuple[int, Observation, int]] = []
        self.asked: list[tuple[str, bool, int]] = []

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self._requests.append((key, observation, seed))
        self.asked.append((observation.instruction, greedy, seed))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        answered, self._requests = self._requests[:2], self._requests[2:]
        return [(key, self._decision(self._rule(observation, seed))) for key, observation, seed in answered]

    @staticmethod
    def _decision(number: float) -> Decision:
        return Decision(tokens=np.array([number]), logprobs=np.zeros(1, np.float32), version=3)


class CommandView:
    """Tokens are the fake environment's commands."""

    def view(self, raw_frame: np.ndarray) -> np.ndarray:
        return raw_frame

    def decode(self, tokens_A: np.ndarray) -> np.ndarray:
        return command(tokens_A[0])


TASKS = [task(TaskId(suite="libero_spatial", index=index)) for index in (0, 1)]


def run(
    rule: Rule,
    *,
    num_envs: int = 3,
    episodes: int = 4,
    seed: int = 0,
    folder: Path | None = None,
    **options: Any,
) -> tuple[EvalReport, RulePolicy]:
    policy = RulePolicy(rule)
    pool = EnvPool(
        num_envs,
        num_workers=2 if num_envs > 1 else 1,
        assets=Path("none"),
        render=RenderMode.FAST,
        size=32,
        simulator=FakeSimulator,
    )
    loop = RolloutLoop(
        pool,
        policy,
        CommandView(),
        num_envs=num_envs,
        instruction=lambda start: task(start.task).instruction,
        recorder=Recorder(folder, steps_per_frame=1) if folder else None,
        seed=seed,
    )
    try:
        outcomes = evaluate(loop, published_starts(TASKS, episodes), **{"greedy": True, **options})
    finally:
        loop.close()
    return EvalReport(outcomes=outcomes), policy


def first_task_in_three_steps(observation: Observation, seed: int) -> float:
    """Frames of the fake environment show its step count."""
    solved = observation.instruction == TASKS[0].instruction and observation.frame[0, 0, 0] == 2
    return SUCCEED if solved else 0.0


def test_every_start_is_played_once() -> None:
    report, policy = run(first_task_in_three_steps)
    starts = [outcome.start for outcome in report.outcomes]
    assert starts == [
        Start(task=chosen.id, source=StateSource.PUBLISHED, number=number)
        for chosen in TASKS
        for number in range(4)
    ]
    assert [outcome.success for outcome in report.outcomes] == [True] * 4 + [False] * 4
    assert [outcome.num_steps for outcome in report.outcomes] == [3] * 4 + [MAX_STEPS] * 4
    assert {outcome.min_version for outcome in report.outcomes} == {3}
    assert all(greedy for _, greedy, _ in policy.asked)
    assert len(policy.asked) == 4 * 3 + 4 * MAX_STEPS, "no decision after an episode's end"


def test_rates_and_intervals() -> None:
    """Wilson for 4 of 8 by hand: p = 1/2, so the centre is 1/2 and the half width is
    1.96 sqrt(1/32 + 1.96²/256) / (1 + 1.96²/8) = 0.28474.
    """
    report, _ = run(first_task_in_three_steps)
    found = report.to_json()
    assert found["overall"]["rate"] == 0.5
    assert found["overall"]["interval"] == pytest.approx([0.5 - 0.28474, 0.5 + 0.28474], abs=1e-4)
    assert found["tasks"]["libero_spatial/1"]["successes"] == 0
    assert "libero_spatial/0           4/4 100.0%" in report.table()
    assert len(report.table().splitlines()) == 4


def test_wilson_at_the_edges() -> None:
    """0 of n: from 0 to z²/(n + z²)."""
    assert wilson(0, 30)[0] == 0  # not -0.0 %
    assert wilson(0, 50) == pytest.approx((0.0, 1.96**2 / (50 + 1.96**2)))
    assert wilson(50, 50) == pytest.approx((50 / (50 + 1.96**2), 1.0))


def test_sampling_does_not_depend_on_how_many_play_at_once() -> None:
    def by_seed(observation: Observation, seed: int) -> float:
        return SUCCEED if seed % 5 == 0 else 0.0

    reports = [run(by_seed, num_envs=num_envs, greedy=False, seed=11) for num_envs in (1, 3)]
    outcomes = [[(o.start, o.success, o.num_steps) for o in report.outcomes] for report, _ in reports]
    assert outcomes[0] == outcomes[1]
    assert sorted(reports[0][1].asked) == sorted(reports[1][1].asked)
    other = run(by_seed, greedy=False, seed=12)[0]
    assert [(o.start, o.success, o.num_steps) for o in other.outcomes] != outcomes[0]


def test_a_lost_episode_is_played_again() -> None:
    """A worker dies once, and takes the other episodes of its environments with it."""
    deaths = iter([DIE])

    def rule(observation: Observation, seed: int) -> float:
        if observation.frame[0, 0, 0] == 1:
            return next(deaths, 0.0)
        return first_task_in_three_steps(observation, seed)

    report, _ = run(rule)
    assert [outcome.success for outcome in report.outcomes] == [True] * 4 + [False] * 4


def test_a_start_that_always_breaks_ends_the_evaluation() -> None:
    with pytest.raises(RuntimeError, match=f"{MAX_ATTEMPTS} times"):
        run(lambda observation, seed: DIE, num_envs=1, episodes=1)


def test_recordings_are_spread_over_the_episodes(tmp_path: Path) -> None:
    seen: list[tuple[EpisodeOutcome, int]] = []
    report, _ = run(
        first_task_in_three_steps,
        num_recorded=2,
        folder=tmp_path / "episodes",
        on_outcome=lambda outcome, left: seen.append((outcome, left)),
    )
    videos = [outcome.video for outcome in report.outcomes if outcome.video]
    names = [f"libero_spatial-{index}-published-0" for index in (0, 1)]
    assert videos == [f"episodes/{name}.mp4" for name in names]
    assert all((tmp_path / video).stat().st_size > 1000 for video in videos)
    assert [left for _, left in seen] == list(range(7, -1, -1))


def test_a_recording_that_fails_is_told_and_the_evaluation_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "episodes").write_text("in the way")
    report, _ = run(first_task_in_three_steps, num_recorded=1, folder=tmp_path / "episodes")
    assert len(report.outcomes) == 8
    assert "an episode was not recorded: " in capsys.readouterr().out
