"""Shapes in, triangles out: boxes, surfaces of revolution and bars, as few triangles as show the thing.

A shape is plain data (metres, in its body's frame) and turns into a `Mesh` on demand. MuJoCo's own box,
cylinder and capsule geoms are tessellated far finer than a 128-pixel image can show, so they are not used.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Point = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)
SMOOTH_FROM_SIDES = 9  # fewer sides are meant to be seen as facets


@dataclass(frozen=True)
class Mesh:
    """Triangles with one normal for every vertex."""

    vertices: np.ndarray
    """(V, 3) positions."""
    normals: np.ndarray
    """(V, 3) unit vectors."""
    faces: np.ndarray
    """(F, 3) indices of vertices, counter-clockwise from outside."""

    def rotated(self, rotation_33: np.ndarray) -> "Mesh":
        """The mesh turned about the origin."""
        return Mesh(self.vertices @ rotation_33.T, self.normals @ rotation_33.T, self.faces)

    def moved(self, offset: Point) -> "Mesh":
        """The mesh shifted by `offset`."""
        return Mesh(self.vertices + np.asarray(offset), self.normals, self.faces)


@dataclass(frozen=True)
class Box:
    """A box: centre, half sizes, orientation; `splits` cells per edge, which large surfaces need."""

    centre: Point
    half: Point
    quat: Quaternion = UPRIGHT
    splits: int = 1

    def mesh(self) -> Mesh:
        """Six flat faces."""
        faces = [_square_face(axis, sign, self.splits) for axis in range(3) for sign in (-1.0, 1.0)]
        cube = merge(faces)
        scaled = Mesh(cube.vertices * np.asarray(self.half), cube.normals, cube.faces)
        return scaled.rotated(_rotation(self.quat)).moved(self.centre)


@dataclass(frozen=True)
class Lathe:
    """A profile of (radius, height) pairs turned about an axis; the profile runs with the solid on its left.

    With the axis pointing up, a profile that rises is seen from outside and one that sinks from inside.
    """

    profile: Sequence[tuple[float, float]]
    axis: str = "z"
    centre: Point = (0.0, 0.0, 0.0)
    sides: int = 16
    squash: float = 1.0
    """Second radius over the first, for oval bottles."""

    def mesh(self) -> Mesh:
        """One band of quadrilaterals for each step of the profile."""
        bands = [self._band(*pair) for pair in pairwise(self.profile)]
        upright = merge(bands)
        stretch = np.array([1.0, self.squash, 1.0])
        normals = _unit(upright.normals / stretch)
        squashed = Mesh(upright.vertices * stretch, normals, upright.faces)
        return squashed.rotated(_AXIS_TURNS[self.axis]).moved(self.centre)

    def _band(self, low: tuple[float, float], high: tuple[float, float]) -> Mesh:
        half_turn = math.pi / self.sides
        angles = np.arange(self.sides + 1) * 2 * half_turn + half_turn
        slope = np.array([high[1] - low[1], low[0] - high[0]])
        slope = slope / np.linalg.norm(slope)
        rings = [_ring(radius, height, angles) for radius, height in (low, high)]
        if self.sides >= SMOOTH_FROM_SIDES:
            normals = np.stack(
                [np.cos(angles) * slope[0], np.sin(angles) * slope[0], angles * 0 + slope[1]], 1
            )
            quads = [
                (rings[0][k : k + 2], rings[1][k : k + 2], normals[k : k + 2]) for k in range(self.sides)
            ]
        else:
            middles = angles[:-1] + half_turn
            flat = np.stack(
                [np.cos(middles) * slope[0], np.sin(middles) * slope[0], middles * 0 + slope[1]], 1
            )
            quads = [(rings[0][k : k + 2], rings[1][k : k + 2], flat[[k, k]]) for k in range(self.sides)]
        return merge(_quad(lower, upper, normal, low[0], high[0]) for lower, upper, normal in quads)


@dataclass(frozen=True)
class Bar:
    """A square bar along a line of points: handles, stems, spouts."""

    points: Sequence[Point]
    width: float

    def mesh(self) -> Mesh:
        """One box for each stretch, long enough to close the corners."""
        pairs = pairwise(self.points)
        return merge(self._stretch(np.asarray(start), np.asarray(end)) for start, end in pairs)

    def _stretch(self, start_3: np.ndarray, end_3: np.ndarray) -> Mesh:
        length = float(np.linalg.norm(end_3 - start_3))
        half = (self.width / 2, self.width / 2, (length + self.width * 0.6) / 2)
        box = Box((0.0, 0.0, 0.0), half).mesh().rotated(_frame_along((end_3 - start_3) / length))
        return box.moved(tuple((start_3 + end_3) / 2))


Shape = Box | Lathe | Bar


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """All meshes as one."""
    parts = list(meshes)
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]),
    )


def to_msh(mesh: Mesh) -> bytes:
    """MuJoCo's binary mesh format: four counts, then positions, normals, (no) texture coordinates, faces."""
    counts = np.array([len(mesh.vertices), len(mesh.normals), 0, len(mesh.faces)], "<i4")
    # Rounding makes the bytes independent of the last bit of sine and cosine.
    floats = [np.round(array, 6).astype("<f4") + np.float32(0) for array in (mesh.vertices, mesh.normals)]
    return b"".join(
        [counts.tobytes(), *(array.tobytes() for array in floats), mesh.faces.astype("<i4").tobytes()]
    )


_AXIS_TURNS = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


def _square_face(axis: int, sign: float, splits: int) -> Mesh:
    ticks = np.linspace(-1.0, 1.0, splits + 1)
    first, second = np.meshgrid(ticks, ticks, indexing="ij")
    vertices = np.zeros((first.size, 3))
    vertices[:, axis] = sign
    vertices[:, (axis + 1) % 3], vertices[:, (axis + 2) % 3] = first.ravel(), second.ravel()
    corner = (np.arange(splits)[:, None] * (splits + 1) + np.arange(splits)).ravel()
    right, up = splits + 1, 1
    turns = [[0, right, right + up], [0, right + up, up]]
    faces = np.concatenate([corner[:, None] + np.array(turn) for turn in turns])
    normals = np.zeros_like(vertices)
    normals[:, axis] = sign
    return Mesh(vertices, normals, faces if sign > 0 else faces[:, ::-1])


def _ring(radius: float, height: float, angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles) * radius, np.sin(angles) * radius, angles * 0 + height], 1)


def _quad(
    lower_23: np.ndarray, upper_23: np.ndarray, normals_23: np.ndarray, low: float, high: float
) -> Mesh:
    """Two triangles, or one where the profile touches the axis."""
    faces = [[0, 1, 3], [0, 3, 2]]
    if low == 0:
        faces = [[0, 3, 2]]
    if high == 0:
        faces = [[0, 1, 2]]
    vertices = np.concatenate([lower_23, upper_23])
    return Mesh(vertices, np.concatenate([normals_23, normals_23]), np.array(faces))


def _unit(vectors_V3: np.ndarray) -> np.ndarray:
    return vectors_V3 / np.linalg.norm(vectors_V3, axis=1, keepdims=True)


def _rotation(quat: Quaternion) -> np.ndarray:
    w, x, y, z = np.asarray(quat) / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _frame_along(direction_3: np.ndarray) -> np.ndarray:
    """A rotation whose third axis is `direction_3` and whose first axis stays level."""
    helper = np.array([0.0, 0.0, 1.0]) if abs(direction_3[2]) < 0.99 else np.array([1.0, 0.0, 0.0])
    first = np.cross(helper, direction_3)
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(direction_3, first), direction_3], 1)
