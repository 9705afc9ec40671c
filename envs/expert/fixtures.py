"""Drawers, doors and knobs. In: the world and a fixture or region. Out: a skill per movement.

A joint tells how its part moves; the part's own surface tells where to take hold or push.
"""

from collections.abc import Callable

import numpy as np

from envs.expert.carrying import reach, release
from envs.expert.grasp import Grasp, side_grasps
from envs.expert.motion import (
    CLOSE,
    OPEN,
    Command,
    Pose,
    Skill,
    go,
    hold,
    hold_here,
    nearest_half_turn,
    pointing,
    rotation_about,
    toward,
)
from envs.expert.world import World

Until = Callable[[], bool]
"""Whether a movement has done its work."""
ATTEMPTS = 3
GRIP_STEPS = 9
DRAG_STEPS = 45
UP = np.array([0.0, 0.0, 1.0])
PULL_TILT, PUSH_TILT = 0.2, 1.0
"""How far the hand points down, per length forward: level to pull, slanting to keep the palm clear of a
cabinet."""
TURN = 0.8
"""Angle, rad, that a knob is turned at least."""
DOOR_LEVER = 0.17
"""Distance from the hinge at which a door is pushed."""


def open_drawer(world: World, region: str, is_open: Until) -> Skill:
    """Take the handle from the front and pull."""
    joint = world.joint_of(region)
    outward = world.opening_direction(joint)
    for _ in range(ATTEMPTS):
        handle = Pose(_handle(world, joint, outward), _facing(world, outward, PULL_TILT, UP))
        yield from go(world, "approach", handle.at(handle.position + 0.1 * outward), OPEN, near=0.02)
        yield from go(world, "reach", handle, OPEN, speed=0.5, near=0.012, limit=30)
        yield from hold(world, "grasp", handle, CLOSE, GRIP_STEPS)
        yield from _drag(world, "pull", handle, outward, is_open)
        yield from hold_here(world, "release", OPEN, GRIP_STEPS)
        yield from _step_back(world, outward)
        if is_open():
            return


def close_drawer(world: World, region: str, goal: tuple[str, ...]) -> Skill:
    """Push against the handle with closed fingers."""
    joint = world.joint_of(region)
    outward = world.opening_direction(joint)
    sideways = np.cross(outward, UP)
    for _ in range(ATTEMPTS):
        front = Pose(_handle(world, joint, outward), _facing(world, outward, PUSH_TILT, sideways))
        before = front.at(front.position + 0.07 * outward)
        yield from go(world, "approach", before.raised(0.1), CLOSE, near=0.03)
        yield from go(world, "reach", before, CLOSE, near=0.02, limit=25)
        yield from _drag(world, "push", front, -outward, lambda: world.holds(goal))
        yield from _step_back(world, outward)
        if world.holds(goal):
            return


def close_door(world: World, fixture: str, goal: tuple[str, ...]) -> Skill:
    """Push a hinged door along its arc, from outside, with closed fingers pointing down."""
    joint = world.joint_of(fixture)
    for _ in range(ATTEMPTS):
        ready = _door_contact(world, joint, ahead=-0.3)
        yield from go(world, "approach", ready.raised(0.12), CLOSE, near=0.03)
        yield from go(world, "reach", ready, CLOSE, near=0.02, limit=25)
        for _ in range(90):
            if world.holds(goal):
                break
            yield Command("push", toward(world, _door_contact(world, joint, ahead=0.25), CLOSE, 0.7))
        yield from release(world)
        if world.holds(goal):
            return


def turn_knob(world: World, fixture: str, goal: tuple[str, ...]) -> Skill:
    """Hold the knob across and turn the hand about the knob's axis."""
    joint = world.joint_of(fixture)
    sense = 1 if goal[0] == "turnon" else -1
    for _ in range(ATTEMPTS):
        yield from reach(world, fixture, lambda: _knob_grasp(world, fixture, joint))
        yield from hold_here(world, "grasp", CLOSE, GRIP_STEPS)
        begin = world.joint_value(joint)
        for _ in range(30):
            if world.holds(goal) and abs(world.joint_value(joint) - begin) > TURN:
                break
            yield Command("turn", toward(world, _turned(world, joint, sense * 0.4), CLOSE))
        yield from release(world)
        if world.holds(goal):
            return


def _handle(world: World, joint: str, outward: np.ndarray) -> np.ndarray:
    """Middle of what sticks out furthest."""
    points = world.joint_points(joint)
    depth = points @ outward
    bar = points[depth > depth.max() - 0.02]
    return (bar.min(axis=0) + bar.max(axis=0)) / 2


def _facing(world: World, outward: np.ndarray, tilt: float, fingers: np.ndarray) -> np.ndarray:
    return nearest_half_turn(pointing(-outward - tilt * UP, fingers), world.gripper_rotation)


def _drag(world: World, phase: str, pose: Pose, direction: np.ndarray, is_done: Until) -> Skill:
    """Along a straight line through the pose."""
    for _ in range(DRAG_STEPS):
        if is_done():
            return
        gone = (world.gripper_position - pose.position) @ direction
        ahead = pose.at(pose.position + (gone + 0.05) * direction)
        yield Command(phase, toward(world, ahead, CLOSE, 0.7))


def _step_back(world: World, outward: np.ndarray) -> Skill:
    away = Pose(world.gripper_position + 0.08 * outward, world.gripper_rotation)
    yield from go(world, "retreat", away, OPEN, near=0.03, limit=10)
    yield from go(world, "retreat", away.raised(0.12), OPEN, near=0.04, limit=10)


def _door_contact(world: World, joint: str, ahead: float) -> Pose:
    """Where the fingers should be to push: on the outside of the door, turned `ahead` (rad) of it."""
    anchor, axis = world.joint_anchor(joint), world.joint_axis(joint)
    points = world.joint_points(joint)
    closing = -np.sign(world.model.joint(joint).range.sum())
    arm = points.mean(axis=0) - anchor
    arm = np.append(arm[:2], 0) / np.linalg.norm(arm[:2])
    push = closing * np.cross(axis, arm)
    thickness = float(((points - anchor) @ -push).max())
    contact = anchor + DOOR_LEVER * arm - (thickness + 0.012) * push
    turn = rotation_about(axis, closing * ahead)
    position = anchor + turn @ (contact - anchor)
    position[2] = points[:, 2].max() - 0.025
    return Pose(position, nearest_half_turn(pointing(-UP, turn @ arm), world.gripper_rotation))


def _knob_grasp(world: World, fixture: str, joint: str) -> Grasp:
    return max(side_grasps(world, fixture, world.joint_points(joint)), key=lambda grasp: grasp.score)


def _turned(world: World, joint: str, angle: float) -> Pose:
    """The hand's present pose, turned about the joint."""
    anchor = world.joint_anchor(joint)
    turn = rotation_about(world.joint_axis(joint), angle)
    position = anchor + turn @ (world.gripper_position - anchor)
    return Pose(position, turn @ world.gripper_rotation)
