"""Where episodes begin: the published initial states, and fresh ones drawn from the task's own placement
ranges.

In: a built simulation and a Start. Out: (S,) float64 state: time, joint positions, joint velocities.
Objects are in mid-air; the environment lets them settle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from core.types import NUM_PUBLISHED_STATES, Start, StateSource
from envs.simulation import Simulation, numpy_seed
from envs.suites import published_states

MAX_SEED = 2**32 - 1
_ARM_NOISE = 0.02
"""Standard deviation, rad, of the arm's joints: robosuite's default, as in the published states."""

Placements = dict[str, tuple[Any, Any, Any]]
"""Name to position (3,), quaternion (4,) and robosuite object, of fixtures and objects."""


def initial_state(simulation: Simulation, start: Start) -> np.ndarray:
    if start.source is StateSource.PUBLISHED:
        _check_range("number of a published state", start.number, NUM_PUBLISHED_STATES - 1)
        return published_states(simulation.task)[start.number]
    _check_range("seed of a fresh state", start.number, MAX_SEED)
    state = _draw(simulation, start.number)
    assert np.abs(published_states(simulation.task) - state).max(axis=1).min() > 1e-6
    return state


def _check_range(what: str, number: int, largest: int) -> None:
    if not 0 <= number <= largest:
        raise ValueError(f"The {what} is 0 to {largest}, got {number}.")


def _draw(simulation: Simulation, seed: int) -> np.ndarray:
    """The draws of LIBERO's reset, in its order, except that fixtures stay where the simulation has them."""
    from robosuite.utils.errors import RandomizationError

    with numpy_seed(seed):
        while True:
            try:
                return _draw_once(simulation)
            except RandomizationError:  # the objects do not fit: LIBERO, too, draws again
                continue


def _draw_once(simulation: Simulation) -> np.ndarray:
    data = mujoco.MjData(simulation.model)
    problem = simulation.bind(data)
    robot = problem.robots[0]
    noise = _ARM_NOISE * np.random.randn(len(robot.init_qpos))
    data.qpos[robot._ref_joint_pos_indexes] = robot.init_qpos + noise
    data.qpos[robot._ref_gripper_joint_pos_indexes] = robot.gripper.init_qpos
    for joint in problem.object_property_initializers:
        problem.object_states_dict[joint.name].set_joint(joint.sample())
    for name, (position, quaternion, placed) in _place_objects(simulation, problem).items():
        if name not in problem.fixtures_dict:
            problem.sim.data.set_joint_qpos(placed.joints[-1], np.concatenate([position, quaternion]))
    return np.concatenate([[0.0], data.qpos, data.qvel])


def _place_objects(simulation: Simulation, problem: Any) -> Placements:
    placements: Placements = {}
    for sampler in problem.placement_initializer.samplers.values():
        placed = sampler.mujoco_objects[0]
        if placed.name in problem.fixtures_dict:
            body = problem.obj_body_id[placed.name]
            placements[placed.name] = (
                simulation.model.body_pos[body],
                simulation.model.body_quat[body],
                placed,
            )
        else:
            placements = sampler.sample(fixtures=placements)
    with _fixtures_at_origin(simulation.model, problem):
        mujoco.mj_kinematics(simulation.model, problem.sim.data._data)
    placements = problem.conditional_placement_initializer.sample(problem.sim, placements)
    return problem.conditional_placement_on_objects_initializer.sample(placements)


@contextmanager
def _fixtures_at_origin(model: mujoco.MjModel, problem: Any) -> Iterator[None]:
    """LIBERO places objects on a fixture by adding its place to a site's, taken before it has a place."""
    bodies = [problem.obj_body_id[name] for name in problem.fixtures_dict]
    positions, quaternions = model.body_pos[bodies], model.body_quat[bodies]
    placed = [
        problem.obj_body_id[sampler.mujoco_objects[0].name]
        for sampler in problem.placement_initializer.samplers.values()
        if sampler.mujoco_objects[0].name in problem.fixtures_dict
    ]
    model.body_pos[placed], model.body_quat[placed] = 0.0, (1.0, 0.0, 0.0, 0.0)
    try:
        yield
    finally:
        model.body_pos[bodies], model.body_quat[bodies] = positions, quaternions
