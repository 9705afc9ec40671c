"""One environment: conventions, protocol, starts, sharing, and what is said about wrong input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import RenderMode
from core.types import StateSource, TaskId
from envs.environment import LiberoEnv
from envs.simulation import simulation
from envs.suites import published_states, task
from tests.envs.conftest import SIZE, start

STILL = np.zeros(7)
FORWARD = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])


def test_reset_settles_the_objects_of_a_published_state(env: LiberoEnv) -> None:
    observation, info = env.reset(start(env, 3))
    assert env.state()[0] == pytest.approx(0.5)  # ten steps at 20 Hz
    assert np.abs(env.data.qvel).max() < 0.5
    assert observation["frame"].shape == (SIZE, 2 * SIZE, 3)  # two cameras side by side
    assert observation["frame"].dtype == np.uint8
    assert observation["proprio"].shape == (8,)
    assert (info["success"], info["num_steps"]) == (False, 0)


def test_the_hand_goes_where_the_action_says(env: LiberoEnv) -> None:
    before, _ = env.reset(start(env))
    for _ in range(10):
        after, reward, terminated, truncated, info = env.step(FORWARD)
    assert after["proprio"][0] - before["proprio"][0] > 0.05
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["num_steps"] == 10


def test_many_actions_are_one_after_another_with_one_picture(env: LiberoEnv) -> None:
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (6, 7))
    env.reset(start(env))
    for action in actions:
        apart, *_ = env.step(action)
    state = env.state()
    env.reset(start(env))
    together, *_, info = env.step(actions)
    np.testing.assert_array_equal(env.state(), state)
    np.testing.assert_array_equal(together["frame"], apart["frame"])
    assert info["num_steps"] == 6


def solve(env: LiberoEnv) -> None:
    """Lets the bowl down on the plate."""
    bowl = env.data.joint("akita_black_bowl_1_joint0").qpos
    plate = env.data.joint("plate_1_joint0").qpos
    bowl[:3] = np.add(plate[:3], (0.0, 0.0, 0.05))
    env.data.joint("akita_black_bowl_1_joint0").qvel[:] = 0.0


def test_success_terminates_and_stops_the_remaining_actions(env: LiberoEnv) -> None:
    env.reset(start(env))
    solve(env)
    _, reward, terminated, truncated, info = env.step(np.tile(STILL, (40, 1)))
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    assert 0 < info["num_steps"] < 40


def test_the_step_limit_truncates(primitive: Path) -> None:
    env = LiberoEnv(task(TaskId(suite="libero_spatial", index=0)), assets=primitive, render=None)
    env.reset(start(env))
    limit = env.task.max_steps
    observation, _, terminated, truncated, info = env.step(np.tile(STILL, (limit - 1, 1)))
    assert (terminated, truncated) == (False, False)
    assert "frame" not in observation
    *_, terminated, truncated, info = env.step(np.tile(STILL, (5, 1)))
    assert (terminated, truncated, info["num_steps"]) == (False, True, limit)


def test_fresh_starts_are_reproducible_different_and_never_published(env: LiberoEnv) -> None:
    def fresh(number: int) -> np.ndarray:
        env.reset(start(env, number, StateSource.FRESH))
        return env.state()

    np.random.seed(5)
    untouched = np.random.get_state()[1].copy()
    first, second, again = fresh(0), fresh(1), fresh(0)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(np.random.get_state()[1], untouched)


@pytest.mark.parametrize(
    ("suite", "index"), [("libero_spatial", 4), ("libero_object", 2), ("libero_goal", 7), ("libero_10", 9)]
)
def test_fresh_starts_come_from_where_the_published_ones_do(suite: str, index: int, primitive: Path) -> None:
    """Every coordinate of 40 draws lies in the range of the 50 published ones, give or take its ends."""
    from envs.starts import initial_state

    built = simulation(task(TaskId(suite=suite, index=index)), primitive, 0)
    published = published_states(built.task)
    numbers = range(40)
    env = LiberoEnv(built.task, assets=primitive, render=None)
    drawn = np.array([initial_state(built, start(env, number, StateSource.FRESH)) for number in numbers])
    low, high = published.min(axis=0), published.max(axis=0)
    slack = 0.03 + 0.3 * (high - low)
    assert (drawn > low - slack).all()
    assert (drawn < high + slack).all()
    distances = np.abs(drawn[:, None] - published[None]).max(axis=2)
    assert distances.min() > 1e-3


def test_environments_of_one_task_share_the_build_and_nothing_else(env: LiberoEnv, primitive: Path) -> None:
    other = LiberoEnv(env.task, assets=primitive, size=SIZE)
    assert other.model is env.model
    first, _ = env.reset(start(env, 0))
    other.reset(start(env, 1))
    for _ in range(3):
        other.step(FORWARD)
    np.testing.assert_array_equal(env.frame(), first["frame"])
    before = env.state()
    env.step(STILL)
    assert env.state()[0] == pytest.approx(before[0] + 0.05)


def test_another_task_is_played_without_rebuilding_the_first(env: LiberoEnv, primitive: Path) -> None:
    mine = LiberoEnv(env.task, assets=primitive, render=RenderMode.FAST, size=SIZE)
    first, _ = mine.reset(start(env))
    stove = start(env)
    stove = type(stove)(task=TaskId(suite="libero_goal", index=7), source=stove.source, number=0)
    other, _ = mine.reset(stove)
    assert mine.task.instruction == "turn on the stove"
    assert (other["frame"] != first["frame"]).any()
    again, _ = mine.reset(start(env))
    assert mine.model is env.model
    np.testing.assert_array_equal(again["frame"], first["frame"])


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (np.zeros(6), r"shape \(6,\)"),
        (np.zeros((0, 7)), r"shape \(0, 7\)"),
        (np.zeros((2, 2, 7)), r"shape \(2, 2, 7\)"),
        (np.array([0, 0, np.nan, 0, 0, np.inf, 0]), "2 non-finite"),
        (np.array(["left"] * 7), "type <U4"),
        (np.zeros(7, dtype=bool), "type bool"),
    ],
)
def test_wrong_actions_are_refused_and_change_nothing(env: LiberoEnv, actions: Any, said: str) -> None:
    env.reset(start(env))
    before = env.state()
    with pytest.raises(ValueError, match=said + r".*allowed are finite numbers of shape \(7,\) or \(K, 7\)"):
        env.step(actions)
    np.testing.assert_array_equal(env.state(), before)


def test_wrong_starts_are_refused(env: LiberoEnv) -> None:
    with pytest.raises(ValueError, match="number of a published state is 0 to 49, got 50"):
        env.reset(start(env, 50))
    with pytest.raises(ValueError, match="seed of a fresh state is 0 to 4294967295, got -1"):
        env.reset(start(env, -1, StateSource.FRESH))


def test_wrong_cameras_and_sizes_are_refused(env: LiberoEnv, primitive: Path) -> None:
    with pytest.raises(ValueError, match=r"Unknown cameras \['sideview2'\]; known are .*agentview"):
        LiberoEnv(env.task, assets=primitive, cameras=("agentview", "sideview2"))
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        LiberoEnv(env.task, assets=primitive, size=0)


def test_without_pictures_asking_for_one_is_an_error(primitive: Path) -> None:
    env = LiberoEnv(task(TaskId(suite="libero_spatial", index=0)), assets=primitive, render=None)
    env.reset(start(env))
    with pytest.raises(ValueError, match="render=None"):
        env.frame()
