"""Sliding something flat over the table. In: the world, an object, a target. Out: a skill.

The closed fingertips stay behind the object, seen from the target, and push its middle towards it.
"""

import numpy as np

from envs.expert.grasp import DOWN, MAX_OPENING, palm_clearance
from envs.expert.motion import (
    CLOSE,
    Command,
    Pose,
    Skill,
    go,
    nearest_half_turn,
    pointing,
    rotation_about,
    toward,
)
from envs.expert.world import World

ATTEMPTS = 4
FLAT = 0.03
"""Nothing to take hold of: lower than this and too wide for the fingers."""
TIP_HEIGHT = 0.012
ROOM_ENOUGH = 0.005
PALM_REACH = 0.073
"""From the fingertips to the middle of the hand."""
LEAN = 0.5
"""The hand leans over the object, away from what may stand behind it: sideways per length down."""
PUSH_STEPS = 70
STEERING = 2.5
"""Sideways correction per sideways error of the fingertips behind the object."""


def is_flat(world: World, name: str) -> bool:
    extent = np.ptp(world.points(name), axis=0)
    return bool(extent[2] < FLAT and extent[:2].min() > MAX_OPENING)


def push(world: World, name: str, target: str, goal: tuple[str, ...]) -> Skill:
    for _ in range(ATTEMPTS):
        behind = _behind(world, name, target, gap=0.02)
        yield from go(world, "approach", behind.raised(0.1), CLOSE, near=0.03)
        yield from go(world, "reach", behind, CLOSE, near=0.012, limit=30)
        for _ in range(PUSH_STEPS):
            if world.holds(goal) or _lost(world, name, target):
                break
            yield Command("push", toward(world, behind.at(_ahead(world, name, target)), CLOSE, 0.5))
        up = Pose(world.gripper_position, world.gripper_rotation).raised(0.1)
        yield from go(world, "retreat", up, CLOSE, near=0.03, limit=12)
        if world.holds(goal):
            return


def _way(world: World, name: str, target: str) -> np.ndarray:
    """Unit vector in the plane from the object to where it should be."""
    way = (world.position(target) - world.position(name)) * [1, 1, 0]
    return way / (np.linalg.norm(way) + 1e-9)


def _behind(world: World, name: str, target: str, gap: float) -> Pose:
    points, way = world.points(name), _way(world, name, target)
    radius = float(np.max((points - world.position(name)) @ -way))
    position = world.position(name) - (radius + gap) * way
    position[2] = points[:, 2].min() + TIP_HEIGHT
    return Pose(position, _leaning(world, name, position, way))


def _leaning(world: World, name: str, position: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The hand's rotation, its wide side as square to the way as there is room for."""
    obstacles = world.obstacles({name})
    palm = position + LEAN * PALM_REACH * way
    square = np.cross(way, DOWN)
    sides = [rotation_about(DOWN, np.deg2rad(angle)) @ square for angle in (0, 15, -15, 30, -30, 45, -45)]
    room = [palm_clearance(obstacles, palm[:2], side[:2], position[2]) for side in sides]
    best = sides[int(np.argmax(np.minimum(room, ROOM_ENOUGH)))]
    return nearest_half_turn(pointing(DOWN - LEAN * way, best), world.gripper_rotation)


def _ahead(world: World, name: str, target: str) -> np.ndarray:
    """A little inside the object's edge, and more to the side where the push is off."""
    way, here = _way(world, name, target), world.gripper_position
    off = world.position(name) - here
    off[2] = world.points(name)[:, 2].min() + TIP_HEIGHT - here[2]
    aside = off - way * (off @ way)
    return here + 0.03 * way + STEERING * aside * [1, 1, 0.4]


def _lost(world: World, name: str, target: str) -> bool:
    """The fingertips slid past the object's side, or climbed onto it."""
    offset = world.gripper_position - world.position(name)
    way = _way(world, name, target)
    aside = offset - way * (offset @ way)
    return bool(np.linalg.norm(aside[:2]) > 0.05 or offset @ way > 0)
