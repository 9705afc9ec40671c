"""Points on the collision surface of one MuJoCo geom. In: its number. Out: (N, 3) points in the geom's
frame."""

from typing import Any

import mujoco
import numpy as np


def sample_surface(model: Any, geom: int, spacing: float) -> np.ndarray:
    """Every shape is taken as its box; the objects of LIBERO are built of small boxes."""
    center, half = _box(model, geom)
    return center + np.concatenate(
        [_face(half, axis, side, spacing) for axis in range(3) for side in (-1, 1)]
    )


def _box(model: Any, geom: int) -> tuple[np.ndarray, np.ndarray]:
    size, kind = model.geom_size[geom], model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return np.zeros(3), np.array([size[0], size[0], size[0] + size[1]])
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return np.zeros(3), np.array([size[0], size[0], size[1]])
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return np.zeros(3), np.repeat(size[0], 3)
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return model.geom_aabb[geom][:3], model.geom_aabb[geom][3:]
    return np.zeros(3), np.array(size)


def _face(half: np.ndarray, axis: int, side: int, spacing: float) -> np.ndarray:
    """A grid over one face of the box, edges included."""
    first, second = (other for other in range(3) if other != axis)
    grids = np.meshgrid(_ticks(half[first], spacing), _ticks(half[second], spacing))
    points = np.empty((grids[0].size, 3))
    points[:, axis] = side * half[axis]
    points[:, first], points[:, second] = grids[0].ravel(), grids[1].ravel()
    return points


def _ticks(half: float, spacing: float) -> np.ndarray:
    return np.linspace(-half, half, int(np.ceil(2 * half / spacing)) + 1)
