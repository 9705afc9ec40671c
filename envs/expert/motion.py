"""Moving the gripper. In: where it should be. Out: one action of LIBERO's controller at a time.

An action is 7 numbers in [-1, 1]: translation (1 = 5 cm), rotation vector (1 = 0.5 rad), gripper (1 closes
it).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from envs.expert.world import World

OPEN, CLOSE = -1.0, 1.0
TRANSLATION_M, ROTATION_RAD = 0.05, 0.5
"""What an action component of 1 asks the controller for."""
GAIN = 1.6
"""The arm lags behind its target: asking for more than the way left makes up for it."""
MAX_TURN = 0.8
"""A faster wrist shakes what it holds."""


@dataclass(frozen=True, slots=True)
class Command:
    """One step of a skill: what the arm should do, and what for."""

    phase: str
    action: np.ndarray
    """(7,) float64."""


Skill = Iterator[Command]
"""A skill looks at the world, yields one command, and is resumed when the simulator has executed it."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the point between the fingertips should be, and how the hand is turned."""

    position: np.ndarray
    rotation: np.ndarray

    def at(self, position: np.ndarray) -> "Pose":
        return Pose(position, self.rotation)

    def raised(self, height: float) -> "Pose":
        return self.at(self.position + np.array([0, 0, height]))


def pointing(forward: np.ndarray, fingers: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a hand that points `forward` and closes its fingers along `fingers`."""
    z = forward / np.linalg.norm(forward)
    x = fingers - z * (fingers @ z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def nearest_half_turn(rotation: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The fingers are alike: of the two ways to hold, the one that needs less turning."""
    turned = rotation * [-1, -1, 1]
    return rotation if np.sum(rotation * current) >= np.sum(turned * current) else turned


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Axis times angle of a rotation matrix."""
    axis = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return axis / 2 if angle < 1e-4 else axis * angle / (2 * np.sin(angle) + 1e-12)


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def toward(world: World, pose: Pose, grip: float, speed: float = 1.0) -> np.ndarray:
    """(7,) action: a proportional step towards the pose, its direction kept when it is too long."""
    shift = GAIN * (pose.position - world.gripper_position) / TRANSLATION_M
    shift /= max(1.0, np.abs(shift).max() / speed)
    turn = GAIN * turn_left(world, pose) / ROTATION_RAD
    return np.concatenate([shift, np.clip(turn, -MAX_TURN, MAX_TURN), [grip]])


def distance(world: World, pose: Pose) -> float:
    return float(np.linalg.norm(pose.position - world.gripper_position))


def turn_left(world: World, pose: Pose) -> np.ndarray:
    """Rotation vector from the present rotation to the pose's."""
    return rotation_vector(pose.rotation @ world.gripper_rotation.T)


def go(
    world: World,
    phase: str,
    pose: Pose,
    grip: float,
    *,
    speed: float = 1.0,
    near: float = 0.01,
    turn: float = 0.1,
    limit: int = 50,
) -> Skill:
    """Straight to the pose, until `near` it (metres) and turned within `turn` (rad), for `limit` steps at
    most."""
    for _ in range(limit):
        if distance(world, pose) < near and np.linalg.norm(turn_left(world, pose)) < turn:
            return
        yield Command(phase, toward(world, pose, grip, speed))


def hold(world: World, phase: str, pose: Pose, grip: float, num_steps: int) -> Skill:
    """Stay at the pose while the fingers move; they may push the hand off it."""
    for _ in range(num_steps):
        yield Command(phase, toward(world, pose, grip, speed=0.3))


def hold_here(world: World, phase: str, grip: float, num_steps: int) -> Skill:
    yield from hold(world, phase, Pose(world.gripper_position, world.gripper_rotation), grip, num_steps)
