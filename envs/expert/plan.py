"""From a task's goals to skills in their order. In: the world. Out: one skill for the whole episode."""

from envs.expert.carrying import pick_and_place
from envs.expert.fixtures import close_door, close_drawer, open_drawer, turn_knob
from envs.expert.inserting import has_door, insert
from envs.expert.motion import Skill
from envs.expert.pushing import is_flat, push
from envs.expert.world import World

Goal = tuple[str, ...]
"""As in the task file: ("on", "bowl_1", "plate_1"), ("open", "cabinet_1_top_region"), ("turnon",
"stove_1")"""

AJAR = 0.115
"""An opening, m, that takes an object and leaves room for the hand beside the drawer."""
ORDER = ("turnon", "open", "on", "in", "close", "turnoff")
"""A hob is lit and a drawer opened before something is put there; doors are closed at the end."""


def solve(world: World, goals: list[Goal]) -> Skill:
    """One skill after another; a goal that holds already is left alone."""
    for goal in sorted(goals, key=lambda goal: ORDER.index(goal[0])):
        if not world.holds(goal):
            yield from achieve(world, goal, goals)


def achieve(world: World, goal: Goal, goals: list[Goal]) -> Skill:
    match goal:
        case ("on", name, target) if is_flat(world, name):
            yield from push(world, name, target, goal)
        case ("in", name, target) if has_door(world, target):
            yield from insert(world, name, target, goal)
        case ("on" | "in", name, target):
            if goal[0] == "in" and world.is_movable(target) and not _is_ajar(world, target):
                yield from open_drawer(world, target, lambda: _is_ajar(world, target))
            yield from pick_and_place(world, name, target, goal, _share(goal, goals))
        case ("open", region):
            yield from open_drawer(world, region, lambda: world.holds(goal))
        case ("close", part):
            skill = close_drawer if world.is_region(part) else close_door
            yield from skill(world, part, goal)
        case ("turnon" | "turnoff", fixture):
            yield from turn_knob(world, fixture, goal)


def _is_ajar(world: World, region: str) -> bool:
    return abs(world.joint_value(world.joint_of(region))) > AJAR


def _share(goal: Goal, goals: list[Goal]) -> tuple[int, int]:
    same = [other for other in goals if other[0] in ("on", "in") and other[2] == goal[2]]
    return same.index(goal), len(same)
