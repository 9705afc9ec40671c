"""From a task's goals to skills in their order. In: the world. Out: one skill for the whole episode."""

from envs.expert.carrying import pick_and_place
from envs.expert.motion import Skill
from envs.expert.world import World

Goal = tuple[str, ...]
"""As in the task file: ("on", "bowl_1", "plate_1"), ("open", "cabinet_1_top_region"), ("turnon", "stove_1")"""

ORDER = ("turnon", "open", "on", "in", "close", "turnoff")
"""A hob is lit and a drawer opened before something is put there; doors are closed at the end."""


def solve(world: World, goals: list[Goal]) -> Skill:
    """One skill after another; a goal that holds already is left alone."""
    for goal in sorted(goals, key=lambda goal: ORDER.index(goal[0])):
        if not world.holds(goal):
            yield from achieve(world, goal, goals)


def achieve(world: World, goal: Goal, goals: list[Goal]) -> Skill:
    if goal[0] in ("on", "in"):
        yield from pick_and_place(world, goal[1], goal[2], goal, _share(goal, goals))


def _share(goal: Goal, goals: list[Goal]) -> tuple[int, int]:
    same = [other for other in goals if other[0] in ("on", "in") and other[2] == goal[2]]
    return same.index(goal), len(same)
