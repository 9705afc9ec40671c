"""Shifted scenes are what they say, the same every time, and still the same task."""

from pathlib import Path

import numpy as np
import pytest

from core.config import Shift
from core.types import TaskId
from envs.environment import LiberoEnv
from envs.shifts import ARM_RAD, OBJECTS_M, reworded
from envs.suites import SUITES, suite_tasks, task
from tests.envs.conftest import SIZE, start

BOWL_BESIDE_RAMEKIN, BOWL_IN_DRAWER = 1, 4


def shifted(assets: Path, shift: Shift, index: int = 0) -> LiberoEnv:
    """Of libero_spatial."""
    return LiberoEnv(task(TaskId(suite="libero_spatial", index=index)), assets=assets, size=SIZE, shift=shift)


def first_frame(env: LiberoEnv) -> np.ndarray:
    return env.reset(start(env))[0]["frame"].astype(float)


def object_places(env: LiberoEnv) -> dict[str, np.ndarray]:
    """(2,) on the table."""
    return {
        name: env.data.joint(placed.joints[-1]).qpos[:2].copy()
        for name, placed in env.problem.objects_dict.items()
    }


def test_dimmed_light_makes_a_darker_picture_of_the_same(primitive: Path) -> None:
    usual, dim = (first_frame(shifted(primitive, shift)) for shift in (Shift.NONE, Shift.LIGHT))
    assert 0.3 < dim.mean() / usual.mean() < 0.8
    assert np.corrcoef(usual.ravel(), dim.ravel())[0, 1] > 0.9


def test_a_moved_camera_sees_the_same_scene_from_elsewhere(primitive: Path) -> None:
    usual, moved = (shifted(primitive, shift) for shift in (Shift.NONE, Shift.CAMERA))
    assert np.abs(first_frame(usual) - first_frame(moved)).mean() > 5
    assert np.array_equal(usual.state(), moved.state())


@pytest.mark.parametrize("index", [BOWL_BESIDE_RAMEKIN, BOWL_IN_DRAWER])
def test_starts_move_arm_and_what_is_on_the_table(primitive: Path, index: int) -> None:
    usual, moved = (shifted(primitive, shift, index) for shift in (Shift.NONE, Shift.STARTS))
    _, info = usual.reset(start(usual))
    places = object_places(usual)
    _, info_moved = moved.reset(start(moved))
    moves = {name: place - places[name] for name, place in object_places(moved).items()}
    stays = {"akita_black_bowl_1"} if index == BOWL_IN_DRAWER else set()
    on_table = np.array([move for name, move in moves.items() if name not in stays and "bowl_2" not in name])
    assert np.abs(on_table).max() < OBJECTS_M + 0.005
    assert np.abs(on_table - on_table[0]).max() < 0.005  # all alike, but for how each comes to rest
    assert np.abs(on_table[0]).max() > 0.005
    assert all(np.abs(moves[name]).max() < 0.002 for name in stays)
    reach = np.linalg.norm(info_moved["proprio"][:3] - info["proprio"][:3])
    assert 0.005 < reach < 7 * ARM_RAD
    assert not info_moved["success"]


def test_the_same_start_is_shifted_alike(primitive: Path) -> None:
    env = shifted(primitive, Shift.STARTS)
    states = []
    for number in (0, 1, 0):
        env.reset(start(env, number))
        states.append(env.state())
    assert np.array_equal(states[0], states[2])
    assert not np.array_equal(states[0], states[1])


def test_every_instruction_can_be_said_in_other_words() -> None:
    usual = "pick up the black bowl next to the plate and place it on the plate"
    assert reworded(usual) == "grab the black bowl next to the plate and set it on the plate"
    assert reworded("turn on the stove and put the moka pot on it").startswith("switch on the stove and lay")
    instructions = {one.instruction for suite in SUITES for one in suite_tasks(suite)}
    assert [text for text in instructions if reworded(text) == text] == []
