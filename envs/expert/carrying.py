"""Pick up and put down. In: the world, an object, a target. Out: a skill (generator of commands) per
movement.

Every step looks at where things are now, so a knock on the arm or the object is corrected on the way.
"""

from collections.abc import Callable, Generator

import numpy as np

from envs.expert.grasp import Grasp, plan_grasp
from envs.expert.motion import (
    CLOSE,
    OPEN,
    Command,
    Pose,
    Skill,
    distance,
    go,
    hold,
    hold_here,
    toward,
    turn_left,
)
from envs.expert.place import Spot, plan_spot
from envs.expert.world import World

ATTEMPTS = 4
CLOSE_STEPS, RELEASE_STEPS = 9, 7
APPROACH_MARGIN, CARRY_MARGIN = 0.03, 0.03
"""Height above whatever is on the way."""
CORRIDOR = 0.12
"""Half width of the way that has to be free: the hand's half width and something to spare."""
MOVED = 0.012
"""An object that has moved further than this is looked at anew."""
LIFT_TO_COUNT = 0.02
DROPPED = 0.04
NEIGHBOURHOOD = 0.09
"""What is so near the spot has to be cleared until the object is in line with it."""
DODGE = 0.02
"""Room that an object on its way up should have around it."""
DESCENT_STEPS = 30
"""Whoever has not arrived by then stands on something, and closes the fingers where they are."""

SkillWithGrasp = Generator[Command, None, Grasp]
SkillWithRotation = Generator[Command, None, np.ndarray]


def pick_and_place(
    world: World, name: str, target: str, goal: tuple[str, ...], share: tuple[int, int]
) -> Skill:
    """Until the goal holds with the object let go, or it has been tried often enough."""
    for _ in range(ATTEMPTS):
        rotation = yield from pick(world, name)
        spot = plan_spot(world, name, target, inside=goal[0] == "in", share=share)
        yield from carry(world, name, spot, rotation)
        yield from release(world)
        if world.holds(goal):
            return


def pick(world: World, name: str) -> SkillWithRotation:
    """Take hold and lift a little; returns how the hand is turned."""
    failed: list[Grasp] = []
    for _ in range(ATTEMPTS):
        grasp = yield from reach(world, name, lambda: plan_grasp(world, name, failed))
        yield from hold(world, "grasp", grasp.pose, CLOSE, CLOSE_STEPS)
        before = world.position(name)[2]
        yield from go(world, "lift", grasp.pose.raised(0.06), CLOSE, near=0.025, speed=0.8, limit=15)
        if world.position(name)[2] > before + LIFT_TO_COUNT:
            break
        failed.append(grasp)
    return grasp.pose.rotation


def reach(world: World, name: str, plan: Callable[[], Grasp]) -> SkillWithGrasp:
    """From anywhere to the grasp, fingers open: high while it is far, down as it gets in line."""
    grasp, clear = _plan_reach(world, plan)
    num_low = 0
    while num_low < DESCENT_STEPS:
        if np.linalg.norm(world.position(name) - grasp.object_position) > MOVED:
            grasp, clear = _plan_reach(world, plan)
        turned = float(np.linalg.norm(turn_left(world, grasp.pose)))
        if distance(world, grasp.pose) < 0.007 and turned < 0.08:
            break
        here, goal = world.gripper_position, grasp.pose.position
        waypoint = over(here, goal, clear, goal[2] + 0.05, in_line=0.02 if turned < 0.25 else 0.0)
        above = here[2] - goal[2]
        phase = "approach" if above > 0.05 else "descend"
        num_low += phase == "descend"
        yield Command(phase, toward(world, grasp.pose.at(waypoint), OPEN, 1.0 if above > 0.04 else 0.5))
    return grasp


def _plan_reach(world: World, plan: Callable[[], Grasp]) -> tuple[Grasp, float]:
    grasp = plan()
    goal = grasp.pose.position
    highest = world.highest_between(world.gripper_position, goal, CORRIDOR, skip=())
    return grasp, max(goal[2] + 0.05, highest + APPROACH_MARGIN)


def carry(world: World, name: str, spot: Spot, rotation: np.ndarray) -> Skill:
    """Over everything on the way to the spot, and down."""
    start, offset = world.gripper_position, world.gripper_position - world.position(name)
    hang = start[2] - world.points(name)[:, 2].min()
    clear = world.highest_between(start, spot.xy, CORRIDOR, skip={name}) + hang + CARRY_MARGIN
    around = world.highest_between(spot.xy, spot.xy, NEIGHBOURHOOD, skip={name}) + hang + 0.015
    for step in range(90):
        here, held = world.gripper_position, world.gripper_position - world.position(name)
        goal = np.append(spot.xy + held[:2], spot.bottom + hang)
        if np.linalg.norm(goal - here) < 0.007 or np.linalg.norm(held - offset) > DROPPED:
            return
        waypoint = over(here, goal, max(clear, goal[2] + 0.02), around, in_line=0.02)
        if waypoint[2] > here[2] + 0.02:
            waypoint[:2] += _dodge(world, name, clear)
        lowering = waypoint[2] < here[2] - 0.01
        phase = "lower" if lowering else "carry"
        speed = (0.5 if here[2] < goal[2] + 0.04 else 0.9) if lowering else min(0.8, 0.3 + 0.1 * step)
        yield Command(phase, toward(world, Pose(waypoint, rotation), CLOSE, speed))


def _dodge(world: World, name: str, clear: float) -> np.ndarray:
    """(2,) a step away from what hangs over the object on its way up: an open drawer, a shelf."""
    points = world.points(name)
    middle, top = points.mean(axis=0)[:2], points[:, 2].max()
    radius = np.ptp(points, axis=0)[:2].max() / 2
    around = world.obstacles({name})
    over = around[(around[:, 2] > top) & (around[:, 2] < clear)][:, :2] - middle
    over = over[np.linalg.norm(over, axis=1) < radius + DODGE]
    if len(over) == 0:
        return np.zeros(2)
    away = -over.mean(axis=0)
    return DODGE * away / (np.linalg.norm(away) + 1e-9)


def over(here: np.ndarray, goal: np.ndarray, clear: float, near: float, in_line: float) -> np.ndarray:
    """Next point on the way: up to `clear`, across, down to `near` (heights), and further once `in_line`
    (m)."""
    aside = float(np.linalg.norm(goal[:2] - here[:2]))
    if aside < in_line:
        return np.append(goal[:2], goal[2] + np.clip(6 * (aside - 0.01), 0, clear - goal[2]))
    if aside > 0.06 and here[2] < clear - 0.03:
        return np.append(here[:2], clear)
    return np.append(goal[:2], clear if aside > 0.06 else min(clear, near))


def release(world: World) -> Skill:
    """Open the fingers and draw back upwards."""
    yield from hold_here(world, "release", OPEN, RELEASE_STEPS)
    up = Pose(world.gripper_position, world.gripper_rotation).raised(0.08)
    yield from go(world, "retreat", up, OPEN, near=0.02, limit=12)
