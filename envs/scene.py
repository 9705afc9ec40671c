"""What the simulator knows and a picture only hints at: for a critic, never for the policy.

In: a built task, and MuJoCo's data of a moment. Out: (SCENE_SIZE,) float32 of the hand (where it is, how it
is turned, how far its fingers are open) and of each thing that the task is about (whether there is one, where
it is as seen from the hand, which way is up for it). Things are LIBERO's objects of interest, in its order:
what is taken comes before where it goes, so that a number means the same in every task of a kind.

A critic is not needed when a policy is used, so it may know more than a robot's camera sees (Pinto et al.,
Asymmetric Actor Critic, arXiv 1710.06542).
"""

from typing import Any

import mujoco
import numpy as np

from core.types import SCENE_SIZE
from envs.simulation import Simulation

HAND_NUMBERS, THING_NUMBERS = 11, 7
MAX_THINGS = (SCENE_SIZE - HAND_NUMBERS) // THING_NUMBERS
REACH_SCALE, DISTANCE_SCALE, FINGER_SCALE = 4.0, 10.0, 25.0
"""A metre from the arm's base to the hand, from the hand to a thing, of a finger: what matters is about one."""


class Scene:
    """Of one built task."""

    def __init__(self, simulation: Simulation) -> None:
        self._arm = simulation.arm
        self._base = simulation.model.body("robot0_link0").id
        self._things = [_place(simulation, name) for name in simulation.problem.obj_of_interest[:MAX_THINGS]]

    def __call__(self, data: mujoco.MjData) -> np.ndarray:
        """(SCENE_SIZE,) float32."""
        hand, turned = data.site_xpos[self._arm.site], data.site_xmat[self._arm.site].reshape(3, 3)
        numbers = np.zeros(SCENE_SIZE, dtype=np.float32)
        numbers[0:3] = REACH_SCALE * (hand - data.xpos[self._base])
        numbers[3:9] = turned[:, (0, 2)].ravel()
        numbers[9:11] = FINGER_SCALE * data.qpos[self._arm.gripper_joints]
        for index, (is_site, number) in enumerate(self._things):
            positions, rotations = (data.site_xpos, data.site_xmat) if is_site else (data.xpos, data.xmat)
            of_thing = numbers[HAND_NUMBERS + index * THING_NUMBERS :][:THING_NUMBERS]
            of_thing[0] = 1.0
            of_thing[1:4] = DISTANCE_SCALE * (positions[number] - hand)
            of_thing[4:7] = rotations[number].reshape(3, 3)[:, 2]
        return numbers


def _place(simulation: Simulation, name: str) -> tuple[bool, int]:
    """Whether a thing is a region, which MuJoCo calls a site, and its number; else it is a body."""
    bodies: dict[str, Any] = simulation.problem.obj_body_id
    if name in bodies:
        return False, int(bodies[name])
    return True, int(simulation.model.site(name).id)
