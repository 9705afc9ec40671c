"""Where to take hold of an object. In: the world and a name. Out: the best of many candidate grasps.

Two kinds: the wall of something hollow (bowl, mug) with one finger inside, or the two sides of anything else.
All grasps point straight down; a candidate is an angle of the finger axis, seen from above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.expert.motion import Pose, nearest_half_turn, pointing
from envs.expert.world import World

DOWN = np.array([0.0, 0.0, -1.0])
MAX_OPENING = 0.07
"""Widest that fits between open fingers with a little play on both sides."""
FINGER_HALF_DEPTH, FINGER_HALF_WIDTH = 0.0145, 0.0125
"""Half extents of an open finger with margin: along the finger axis, and across."""
FINGER_OFFSET = 0.0515
"""From the grasp point to the middle of an open finger."""
PALM_HALF_DEPTH, PALM_HALF_WIDTH, PALM_HEIGHT = 0.105, 0.035, 0.028
"""The palm's half extents, and how far above the fingertips it begins."""
FINGERTIP = 0.0085
"""Fingers reach this far below the point between their pads."""
WRIST_HALF_WIDTH, WRIST_HEIGHT = 0.06, 0.115
RIM_DEPTHS = (0.018, 0.012)
"""How far below a rim its wall is held: the firmer, or the one that keeps the palm higher."""
SIDE_DEPTHS = (0.035, 0.025, 0.013, 0.008)
"""How far below the top an object is held between its sides: deepest that is narrow enough."""
FAILURE_COST, SAME_PART = 0.5, 0.03
ROOMY, REACH = 0.03, 0.68
"""Clearance beyond which more is no better; distance from the robot's base beyond which the arm is stiff."""


@dataclass(frozen=True, slots=True)
class Grasp:
    """One way of taking hold."""

    pose: Pose
    object_position: np.ndarray
    """Where the object was when this was planned."""
    score: float

    @property
    def offset(self) -> np.ndarray:
        """From the object to the hand."""
        return self.pose.position - self.object_position


def plan_grasp(world: World, name: str, failed: Sequence[Grasp] = ()) -> Grasp:
    """The best candidate; those like one that `failed` before count for less."""
    points = world.points(name)
    candidates = rim_grasps(world, name, points) if is_hollow(points) else side_grasps(world, name, points)
    return max(candidates, key=lambda grasp: grasp.score - FAILURE_COST * _is_like(grasp, failed))


def _is_like(grasp: Grasp, others: Sequence[Grasp]) -> bool:
    """Whether one of the others took hold of the same part of the object."""
    return any(np.linalg.norm(grasp.offset - other.offset) < SAME_PART for other in others)


def is_hollow(points: np.ndarray) -> bool:
    """Too wide to grasp across, and nothing in the middle at the height of the rim."""
    low, high = points.min(axis=0), points.max(axis=0)
    radius = np.linalg.norm(points[:, :2] - (low + high)[:2] / 2, axis=1)
    at_rim = points[:, 2] > high[2] - 0.012
    return bool((high - low)[:2].min() > MAX_OPENING and radius[at_rim].min() > 0.02)


def rim_grasps(world: World, name: str, points: np.ndarray) -> list[Grasp]:
    """One candidate per depth and direction from the middle to the wall."""
    center = rim_center(points)
    ring = points[points[:, 2] > points[:, 2].max() - 0.03]
    radius = float(np.median(np.linalg.norm(ring[:, :2] - center, axis=1)))
    own_handle = points[np.linalg.norm(points[:, :2] - center, axis=1) > radius + 0.02]
    around = np.concatenate([world.obstacles({name}), own_handle])
    grasps = []
    for depth in RIM_DEPTHS:
        height = points[:, 2].max() - depth
        obstacles = around[around[:, 2] > height - 0.018]
        for angle in np.deg2rad(np.arange(0, 360, 15)):
            outward = np.array([np.cos(angle), np.sin(angle)])
            at = center + outward * radius
            clearance = min(
                _finger_clearance(obstacles, at, outward), palm_clearance(obstacles, at, outward, height)
            )
            score = _rim_score(world, at, outward, clearance) + 10 * depth
            grasps.append(_grasp(world, name, at, height, outward, score))
    return grasps


def _finger_clearance(obstacles: np.ndarray, at: np.ndarray, outward: np.ndarray) -> float:
    """Room for the finger outside the wall."""
    return _clearance(obstacles, at + outward * FINGER_OFFSET, outward, FINGER_HALF_DEPTH, FINGER_HALF_WIDTH)


def rim_center(points: np.ndarray) -> np.ndarray:
    """(2,) middle of the rim: half-way between opposite walls, whatever handle sticks out on one side.

    A handle is thinner than the wall is long, so the median of the top points is pulled towards it much less
    than the bounding box is.
    """
    top = points[points[:, 2] > points[:, 2].max() - 0.008][:, :2]
    center = np.median(top, axis=0)
    for _ in range(5):
        offset = top - center
        radius = np.linalg.norm(offset, axis=1)
        wall = np.abs(radius - np.median(radius)) < 0.012
        if not wall.any():
            break
        outward = offset[wall] / radius[wall, None]
        center = center + 2 * (offset[wall] - outward * np.median(radius)).mean(axis=0)
    return center


def side_grasps(world: World, name: str, points: np.ndarray) -> list[Grasp]:
    """One candidate per angle and depth: across the object in the middle of what lies between the fingers."""
    low, high = points[:, 2].min(), points[:, 2].max()
    grasps = []
    for depth in SIDE_DEPTHS:
        height = max(low + FINGERTIP, high - depth)
        band = points[points[:, 2] > height - FINGERTIP][:, :2]
        obstacles = world.obstacles({name})
        obstacles = obstacles[obstacles[:, 2] > height - 0.015]
        for angle in np.deg2rad(np.arange(0, 180, 5)):
            along = np.array([np.cos(angle), np.sin(angle)])
            at, width = _middle(band, along)
            clearance = min(
                _clearance(obstacles, at + side * along * 0.05, along, 0.02, 0.014) for side in (-1, 1)
            )
            score = _side_score(width, along, clearance, depth)
            grasps.append(_grasp(world, name, at, height, along, score))
    return grasps


def _middle(band: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre of the points' box in the frame of the fingers, and its width between them."""
    across = np.array([-along[1], along[0]])
    depth, width = band @ along, band @ across
    center = along * (depth.max() + depth.min()) / 2 + across * (width.max() + width.min()) / 2
    return center, float(depth.max() - depth.min())


def _rim_score(world: World, at: np.ndarray, outward: np.ndarray, clearance: float) -> float:
    reach = float(np.linalg.norm(at - world.base_xy))
    return (
        -60 * max(0.0, 0.007 - clearance)
        + 6 * min(clearance, ROOMY)
        - 0.12 * _wrist_turn(outward)
        - 0.05 * reach
        - 6 * max(0.0, reach - REACH)
    )


def _side_score(width: float, along: np.ndarray, clearance: float, depth: float) -> float:
    return (
        -40 * max(0.0, width - MAX_OPENING)
        - 2 * width
        - 0.08 * _wrist_turn(along)
        + 10 * min(clearance, 0.02)
        + 5 * depth
    )


def _wrist_turn(finger_axis: np.ndarray) -> float:
    """Angle between the finger axis and the world's y axis, which is where the arm holds it at rest."""
    return float(np.arccos(np.clip(abs(finger_axis[1]), 0, 1)))


def _clearance(
    obstacles: np.ndarray, center: np.ndarray, along: np.ndarray, half_along: float, half_across: float
) -> float:
    """Distance of the nearest obstacle from an upright box, seen from above; negative inside; at most 0.2."""
    offset = obstacles[:, :2] - center
    across = np.array([-along[1], along[0]])
    gaps = np.maximum(np.abs(offset @ along) - half_along, np.abs(offset @ across) - half_across)
    return float(gaps.min(initial=0.2))


def palm_clearance(obstacles: np.ndarray, at: np.ndarray, along: np.ndarray, height: float) -> float:
    """Room for the palm and, above it, for the wrist, whose half width is the same all round."""
    high = obstacles[obstacles[:, 2] > height + PALM_HEIGHT]
    higher = obstacles[obstacles[:, 2] > height + WRIST_HEIGHT]
    return min(
        _clearance(high, at, along, PALM_HALF_DEPTH, PALM_HALF_WIDTH),
        _clearance(higher, at, along, WRIST_HALF_WIDTH, WRIST_HALF_WIDTH),
    )


def _grasp(world: World, name: str, at: np.ndarray, height: float, along: np.ndarray, score: float) -> Grasp:
    rotation = pointing(DOWN, np.append(along, 0.0))
    rotation = nearest_half_turn(rotation, world.gripper_rotation)
    return Grasp(Pose(np.append(at, height), rotation), world.position(name), score)
