"""Where an object should go. In: the world, an object, its goal's target. Out: a spot for the object's
bottom."""

from dataclasses import dataclass

import numpy as np

from envs.expert.world import World

BELOW_RIM = 0.045
"""An object is let go when its bottom is this far below a container's rim: the hand stays outside."""
GAP = 0.004
"""The last millimetres are left to the contact."""
SHARED_SPREAD = 0.6
"""Objects that share a region stand at plus and minus this part of its half size."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object's origin is wanted, seen from above, and the height of its bottom when it is let go."""

    xy: np.ndarray
    bottom: float


def plan_spot(world: World, name: str, target: str, *, inside: bool, share: tuple[int, int] = (0, 1)) -> Spot:
    """`share` is (which, of how many) objects that go to the same target."""
    center = world.position(target)
    if not world.is_region(target):
        return Spot(center[:2], _surface_below(world.points(target), center[:2]) + GAP)
    xy = center[:2] + _share_offset(world, name, target, share)
    if world.is_movable(target):
        xy = xy + _to_the_front(world, name, target)
    parent = world.parent(target)
    if parent is None:
        return Spot(xy, center[2] + GAP)
    points = world.points(parent)
    ceiling = center[2] + world.region_half_size(target)[2] + 0.03
    bottom = _surface_below(points[points[:, 2] < ceiling], xy, default=center[2])
    if inside and not world.is_movable(target):
        bottom = max(bottom, points[:, 2].max() - BELOW_RIM)
    return Spot(xy, bottom + GAP)


def _surface_below(points: np.ndarray, xy: np.ndarray, default: float = -np.inf) -> float:
    """Height of what an object put down at xy would touch."""
    near = points[np.linalg.norm(points[:, :2] - xy, axis=1) < 0.03]
    height = float(near[:, 2].max(initial=-np.inf))
    return height if np.isfinite(height) else default


def _to_the_front(world: World, name: str, drawer: str) -> np.ndarray:
    """Against the front of a drawer: the back may be under what the drawer came out of."""
    outward = world.opening_direction(world.joint_of(drawer))[:2]
    radius = np.ptp(world.points(name), axis=0)[:2].max() / 2
    return outward * max(0.0, np.abs(world.region_half_size(drawer)[:2] @ outward) - radius - GAP)


def _share_offset(world: World, name: str, target: str, share: tuple[int, int]) -> np.ndarray:
    """Objects sharing a region stand in a row, along the axis in which they are slimmest."""
    which, count = share
    if count == 1:
        return np.zeros(2)
    extent = np.ptp(world.points(name), axis=0)[:2]
    axis = int(np.argmin(extent))
    offset = np.zeros(2)
    offset[axis] = SHARED_SPREAD * world.region_half_size(target)[axis] * (2 * which / (count - 1) - 1)
    return offset
