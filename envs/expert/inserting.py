"""Something with a handle into something with a door. In: the world, an object, a region. Out: a skill.

The hand is nearly level: it takes the handle from behind, lifts, moves in through the opening, and backs
out the same way.
"""

import numpy as np

from envs.expert.fixtures import UP
from envs.expert.grasp import rim_center
from envs.expert.motion import (
    CLOSE,
    OPEN,
    Pose,
    Skill,
    go,
    hold,
    hold_here,
    nearest_half_turn,
    pointing,
    rotation_about,
)
from envs.expert.world import World

ATTEMPTS = 3
GRIP_STEPS = 9
TILT = 0.7
"""How far the hand points down per length forward: level, the wrist would hit the table."""
HANDLE_BAR = 0.012
"""The outermost part of a handle, along it."""
CLEARANCE = 0.015
INSET = 0.035
"""How far past the near edge of the region the object's middle is put."""


def has_door(world: World, region: str) -> bool:
    """A region in a fixture with a hinge is reached from the side."""
    parent = world.parent(region)
    return parent is not None and world.has_hinge(parent)


def insert(world: World, name: str, region: str, goal: tuple[str, ...]) -> Skill:
    inward = _inward(world, region)
    for _ in range(ATTEMPTS):
        handle = _handle(world, name)
        rotation = nearest_half_turn(
            pointing(inward - TILT * UP, np.cross(UP, inward)), world.gripper_rotation
        )
        grip = Pose(handle, rotation)
        yield from go(world, "approach", grip.at(handle - 0.1 * inward), OPEN, near=0.015)
        yield from go(world, "reach", grip, OPEN, speed=0.5, near=0.008, limit=30)
        yield from hold(world, "grasp", grip, CLOSE, GRIP_STEPS)
        yield from _bring_in(world, name, region, grip, inward)
        yield from hold_here(world, "release", OPEN, GRIP_STEPS)
        back = Pose(world.gripper_position - 0.14 * inward, rotation)
        yield from go(world, "retreat", back, OPEN, near=0.03, limit=20)
        yield from go(world, "retreat", back.raised(0.2), OPEN, near=0.04, limit=20)
        if world.holds(goal):
            return


def _bring_in(world: World, name: str, region: str, grip: Pose, inward: np.ndarray) -> Skill:
    """Up, in front of the opening, in, and down."""
    floor = world.position(region)[2] - world.region_half_size(region)[2] + 0.008
    lift = max(0.03, floor + CLEARANCE - float(world.points(name)[:, 2].min()))
    lifted = grip.raised(lift)
    yield from go(world, "lift", lifted, CLOSE, speed=0.6, near=0.015, limit=20)
    held = world.gripper_position - world.position(name)
    edge = world.position(region) - world.region_half_size(region) * inward
    spot = edge + INSET * inward + held
    spot[2] = lifted.position[2]
    before = spot - inward * ((spot - lifted.position) @ inward)
    yield from go(world, "carry", grip.at(before), CLOSE, speed=0.6, near=0.015, limit=30)
    yield from go(world, "insert", grip.at(spot), CLOSE, speed=0.6, near=0.015, limit=50)
    yield from go(world, "lower", grip.at(spot - CLEARANCE * UP), CLOSE, speed=0.4, near=0.006, limit=10)


def _handle(world: World, name: str) -> np.ndarray:
    """Middle of the bar that is furthest from the middle of the cup."""
    points = world.points(name)
    reach = np.linalg.norm(points[:, :2] - rim_center(points), axis=1)
    bar = points[reach > reach.max() - HANDLE_BAR]
    return (bar.min(axis=0) + bar.max(axis=0)) / 2


def _inward(world: World, region: str) -> np.ndarray:
    """From the closed door to the region, along one of the world's axes."""
    parent = world.parent(region)
    assert parent is not None
    joint = world.joint_of(parent)
    shut = rotation_about(world.joint_axis(joint), -world.joint_value(joint))
    anchor = world.joint_anchor(joint)
    door = anchor + shut @ (world.joint_points(joint).mean(axis=0) - anchor)
    way = (world.position(region) - door) * [1, 1, 0]
    axis = int(np.argmax(np.abs(way)))
    return np.sign(way[axis]) * np.eye(3)[axis]
