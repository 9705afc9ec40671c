"""The scripted expert on real tasks: it solves them, and noise stays out of its labels."""

from pathlib import Path

import numpy as np
import pytest

from core.types import Start, StateSource, TaskId
from envs.environment import LiberoEnv
from envs.expert import Expert
from envs.expert.grasp import MAX_OPENING, is_hollow, plan_grasp
from envs.expert.motion import nearest_half_turn, pointing, rotation_about, rotation_vector
from envs.expert.noise import Noise
from envs.expert.world import World
from envs.suites import task
from tests.envs.conftest import start

BOWL, PLATE = "akita_black_bowl_1", "plate_1"
HELD_OUT = 920_000_000


def play(env: LiberoEnv, begin: Start, noise: float = 0.0) -> tuple[bool, int, list[str]]:
    """(success, steps, phases in their order)."""
    env.reset(begin)
    expert = Expert(env, noise=noise, seed=begin.number)
    phases: list[str] = []
    while not expert.done:
        action = expert.act()
        phases += [action.phase] if action.phase not in phases[-1:] else []
        _, _, terminated, truncated, info = env.step(action.executed)
        if terminated or truncated:
            return terminated, info["num_steps"], phases
    return False, env.task.max_steps, phases


def without_pictures(suite: str, index: int, assets: Path) -> LiberoEnv:
    return LiberoEnv(task(TaskId(suite=suite, index=index)), assets=assets, render=None)


@pytest.mark.parametrize("source", [StateSource.PUBLISHED, StateSource.FRESH])
def test_solves_a_spatial_task_step_by_step(primitive: Path, source: StateSource) -> None:
    env = without_pictures("libero_spatial", 0, primitive)
    success, num_steps, phases = play(env, start(env, 3, source))
    assert success
    assert num_steps < 150
    assert phases[:6] == ["approach", "descend", "grasp", "lift", "carry", "lower"]


@pytest.mark.parametrize(
    ("suite", "index", "skill"),
    [
        ("libero_object", 0, "lower"),
        ("libero_goal", 0, "pull"),
        ("libero_goal", 7, "turn"),
        ("libero_10", 3, "push"),
    ],
)
def test_solves_one_task_of_each_skill(primitive: Path, suite: str, index: int, skill: str) -> None:
    env = without_pictures(suite, index, primitive)
    success, _, phases = play(env, start(env, HELD_OUT, StateSource.FRESH))
    assert success
    assert skill in phases


def test_solves_original_assets(original_assets: Path) -> None:
    env = without_pictures("libero_spatial", 0, original_assets)
    assert play(env, start(env, HELD_OUT, StateSource.FRESH))[0]


def test_noise_changes_what_is_executed_and_not_what_is_meant(primitive: Path) -> None:
    env = without_pictures("libero_spatial", 0, primitive)
    env.reset(start(env, 0))
    quiet = Expert(env).act()
    env.reset(start(env, 0))
    noisy = Expert(env, noise=1.0, seed=1).act()
    np.testing.assert_array_equal(quiet.clean, quiet.executed)
    np.testing.assert_array_equal(noisy.clean, quiet.clean)
    assert np.abs(noisy.executed[:3] - noisy.clean[:3]).max() > 0.01
    np.testing.assert_array_equal(noisy.executed[3:], noisy.clean[3:])


def test_recovers_from_moderate_noise(primitive: Path) -> None:
    env = without_pictures("libero_spatial", 0, primitive)
    assert sum(play(env, start(env, HELD_OUT + i, StateSource.FRESH), noise=0.5)[0] for i in range(4)) >= 3


def test_noise_is_drawn_from_its_seed_alone() -> None:
    from envs.expert.motion import Command

    command = Command("carry", np.zeros(7))
    first, second, other = Noise(0.5, 7), Noise(0.5, 7), Noise(0.5, 8)
    drawn = np.array([first.disturb(command) for _ in range(20)])
    np.testing.assert_array_equal(drawn, [second.disturb(command) for _ in range(20)])
    assert np.abs(drawn - [other.disturb(command) for _ in range(20)]).max() > 0.01


def test_grasp_of_a_bowl_is_on_its_rim_and_points_down(primitive: Path) -> None:
    env = without_pictures("libero_spatial", 0, primitive)
    env.reset(start(env, 0))
    world = World(env)
    points, grasp = world.points(BOWL), plan_grasp(world, BOWL)
    assert is_hollow(points)
    assert not is_hollow(world.points(PLATE))
    radius = np.ptp(points, axis=0)[:2].max() / 2
    middle = (points.min(axis=0) + points.max(axis=0))[:2] / 2
    assert np.linalg.norm(grasp.pose.position[:2] - middle) == pytest.approx(radius, abs=0.015)
    np.testing.assert_allclose(grasp.pose.rotation[:, 2], [0, 0, -1], atol=1e-9)
    assert 2 * radius > MAX_OPENING


def test_rotations_by_hand() -> None:
    quarter = rotation_about(np.array([0.0, 0, 2]), np.pi / 2)
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_vector(quarter), [0, 0, np.pi / 2], atol=1e-9)
    down = pointing(np.array([0.0, 0, -1]), np.array([1.0, 0, 0]))
    np.testing.assert_allclose(down, np.diag([1, -1, -1]), atol=1e-12)
    assert np.linalg.det(down) == pytest.approx(1)
    flipped = down * [-1, -1, 1]
    np.testing.assert_array_equal(nearest_half_turn(flipped, down), down)
