"""What a critic may know: the numbers mean what they say, for every task and at every moment."""

import numpy as np
import pytest

from core.types import SCENE_SIZE
from envs.environment import LiberoEnv
from envs.scene import DISTANCE_SCALE, FINGER_SCALE, HAND_NUMBERS, MAX_THINGS, REACH_SCALE, THING_NUMBERS
from tests.envs.conftest import start
from tests.envs.test_environment import FORWARD


def things(scene: np.ndarray) -> np.ndarray:
    """(MAX_THINGS, THING_NUMBERS)."""
    return scene[HAND_NUMBERS:].reshape(MAX_THINGS, THING_NUMBERS)


def test_it_tells_where_hand_bowl_and_plate_are(env: LiberoEnv) -> None:
    observation, info = env.reset(start(env))
    scene, proprio = info["scene"], observation["proprio"]
    assert scene.shape == (SCENE_SIZE,)
    assert scene.dtype == np.float32
    base = env.data.body("robot0_link0").xpos
    np.testing.assert_allclose(scene[:3] / REACH_SCALE + base, proprio[:3], atol=1e-6)
    np.testing.assert_allclose(scene[9:11] / FINGER_SCALE, proprio[6:], atol=1e-6)
    assert things(scene)[:, 0].tolist() == [1, 1, 0, 0]
    for thing, name in zip(things(scene), ("akita_black_bowl_1_main", "plate_1_main"), strict=False):
        np.testing.assert_allclose(
            thing[1:4] / DISTANCE_SCALE + proprio[:3], env.data.body(name).xpos, atol=2e-3
        )
        assert thing[6] == pytest.approx(1, abs=0.05)  # upright
    assert not things(scene)[2:].any()


def test_it_moves_as_the_hand_moves(env: LiberoEnv) -> None:
    _, before = env.reset(start(env))
    for _ in range(10):
        *_, after = env.step(FORWARD)
    assert after["scene"][0] - before["scene"][0] > 0.05 * REACH_SCALE
    moved = things(after["scene"])[:2, 1] - things(before["scene"])[:2, 1]
    assert (moved < -0.05 * DISTANCE_SCALE).all()  # things lie behind a hand that goes forward


def test_its_numbers_are_about_one(env: LiberoEnv) -> None:
    _, info = env.reset(start(env))
    assert 1 < np.abs(info["scene"]).max() < 8
