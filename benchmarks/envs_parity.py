"""The lean control step against robosuite's own: largest difference of the states after 60 steps of the
expert."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.envs_common import in_fresh_process, published
from benchmarks.report import Row, below
from core.types import Start

NUM_STEPS = 60
"""Enough to reach, grasp and lift an object."""
STARTS = (
    published("libero_spatial", 0, 3),
    published("libero_object", 2, 3),
    published("libero_goal", 8, 3),
    published("libero_10", 0, 3),
    published("libero_90", 12, 3),
)
"""One pick-and-place task of each suite."""


def state_differences(assets: dict[str, Path]) -> list[Row]:
    folder = assets.get("original", assets["primitive"])
    rows = []
    for start in STARTS:
        difference, moved_m = in_fresh_process(_difference, folder, start)
        note = f"{start.task}, hand moved {moved_m:.2f} m"
        rows.append(below(f"state difference to robosuite, {start.task.suite}", difference, 1e-8, note))
    return rows


def _difference(assets: Path, start: Start) -> tuple[float, float]:
    from envs.environment import SETTLE_ACTION, SETTLE_STEPS, LiberoEnv
    from envs.expert import Expert
    from envs.suites import task

    env = LiberoEnv(task(start.task), assets=assets, render=None)
    observation, _ = env.reset(start)
    reference = _robosuite(start)
    for _ in range(SETTLE_STEPS):
        reference.step(SETTLE_ACTION)
    expert = Expert(env)
    began_at = observation["proprio"][:3]
    for _ in range(NUM_STEPS):
        action = expert.act().executed
        observation, *_ = env.step(action)
        reference.step(action)
    difference = np.abs(env.state() - reference.get_sim_state()).max()
    return float(difference), float(np.linalg.norm(observation["proprio"][:3] - began_at))


def _robosuite(start: Start) -> Any:
    from libero.libero.envs.env_wrapper import ControlEnv

    from envs.suites import published_states, task

    env = ControlEnv(
        bddl_file_name=str(task(start.task).bddl_file), use_camera_obs=False, has_offscreen_renderer=False
    )
    env.seed(0)
    env.reset()
    env.set_init_state(published_states(task(start.task))[start.number])
    return env
