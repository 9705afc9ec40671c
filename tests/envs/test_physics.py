"""The lean control step against LIBERO's own environment: same states, same observations, same pictures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import RenderMode
from core.types import Start, StateSource, TaskId
from envs.environment import SETTLE_ACTION, SETTLE_STEPS, LiberoEnv
from envs.physics import SimulationDivergedError
from envs.suites import SUITES, published_states, task
from tests.envs.conftest import start

NUM_STEPS = 60


def actions() -> np.ndarray:
    """(60, 7): down onto the table and along it, turning, opening and closing.

    Gently: a hand that is slammed down makes contacts amplify rounding a billionfold, in robosuite as well.
    """
    random = np.random.default_rng(3)
    pieces = NUM_STEPS // 10
    translation = random.uniform((-0.4, -0.4, -0.7), (0.4, 0.4, -0.4), (pieces, 3))
    rotation = random.uniform(-0.2, 0.2, (pieces, 3))
    gripper = random.choice([-1.0, 1.0], (pieces, 1))
    return np.repeat(np.hstack([translation, rotation, gripper]), 10, axis=0)


def hand_touches(env: LiberoEnv) -> bool:
    """Something that is not the robot."""
    bodies = env.model.geom_bodyid[env.data.contact.geom]
    is_robot = np.array(
        [env.model.body(body).name.startswith(("robot", "gripper")) for body in bodies.ravel()]
    )
    return bool((is_robot[0::2] != is_robot[1::2]).any())


def robosuite_env(task_id: TaskId, number: int) -> Any:
    """LIBERO's own environment, settled as its protocol says."""
    from libero.libero.envs.env_wrapper import ControlEnv

    env = ControlEnv(
        bddl_file_name=str(task(task_id).bddl_file), use_camera_obs=False, has_offscreen_renderer=False
    )
    env.seed(0)
    env.reset()
    env.set_init_state(published_states(task(task_id))[number])
    for _ in range(SETTLE_STEPS):
        env.step(SETTLE_ACTION)
    return env


@pytest.mark.parametrize(("suite", "index"), zip(SUITES, (2, 2, 2, 2, 12), strict=True))
def test_states_are_robosuites(suite: str, index: int, primitive: Path) -> None:
    """1e-8 is what the project promises; rounding in another order gives 1e-16, which contacts amplify."""
    task_id = TaskId(suite=suite, index=index)
    env = LiberoEnv(task(task_id), assets=primitive, render=None)
    env.reset(Start(task=task_id, source=StateSource.PUBLISHED, number=3))
    reference = robosuite_env(task_id, number=3)
    fixtures = [reference.env.obj_body_id[name] for name in reference.env.fixtures_dict]
    np.testing.assert_array_equal(env.model.body_pos[fixtures], reference.sim.model._model.body_pos[fixtures])
    num_touches = 0
    for action in actions():
        env.step(action)
        reference.step(action)
        num_touches += hand_touches(env)
    assert num_touches > 10
    np.testing.assert_allclose(env.state(), reference.get_sim_state(), rtol=0, atol=1e-8)


LIBEROS_OWN = """
import json, sys
from pathlib import Path
import numpy as np
from envs import renderer
renderer.activate(renderer.probe())
from envs.libero_setup import prepare
prepare(Path(sys.argv[1]))
from libero.libero.envs.env_wrapper import OffScreenRenderEnv
from core.types import TaskId
from envs.suites import published_states, task
spatial = task(TaskId(suite="libero_spatial", index=0))
env = OffScreenRenderEnv(bddl_file_name=str(spatial.bddl_file), camera_heights=64, camera_widths=64)
env.seed(0)
env.reset()
env.set_init_state(published_states(spatial)[3])
for _ in range(10):
    env.step([0, 0, 0, 0, 0, 0, -1])
for action in json.loads(sys.argv[2]):
    seen, *_ = env.step(action)
np.savez(
    sys.argv[3],
    agentview=seen["agentview_image"],
    wrist=seen["robot0_eye_in_hand_image"],
    position=seen["robot0_eef_pos"],
    fingers=seen["robot0_gripper_qpos"],
)
"""


def test_exact_pictures_are_liberos_to_the_pixel(primitive: Path, tmp_path: Path) -> None:
    """In a process of its own, because two OpenGL contexts in one corrupt each other."""
    moves = actions()[:12]
    file = tmp_path / "seen.npz"
    arguments = [str(primitive), json.dumps(moves.tolist()), str(file)]
    subprocess.run([sys.executable, "-c", LIBEROS_OWN, *arguments], check=True, timeout=300)
    theirs = np.load(file)
    env = LiberoEnv(
        task(TaskId(suite="libero_spatial", index=0)),
        assets=primitive,
        render=RenderMode.EXACT,
        size=64,
        cameras=("agentview", "robot0_eye_in_hand"),
    )
    env.reset(start(env, 3))
    for action in moves:
        ours, *_ = env.step(action)
    main, wrist = np.split(ours["frame"], 2, axis=1)
    np.testing.assert_array_equal(main, theirs["agentview"][::-1, ::-1])
    np.testing.assert_array_equal(wrist, theirs["wrist"][::-1, ::-1])
    np.testing.assert_allclose(ours["proprio"][:3], theirs["position"], atol=1e-8)
    np.testing.assert_allclose(ours["proprio"][6:], theirs["fingers"], atol=1e-8)


def test_divergence_is_reported_and_a_reset_heals_it(env: LiberoEnv) -> None:
    env.reset(start(env))
    env.data.qvel[:] = np.nan
    with pytest.raises(SimulationDivergedError, match="no longer finite"):
        env.step(np.zeros(7))
    env.reset(start(env))
    env.step(np.zeros(7))
    assert np.isfinite(env.state()).all()
