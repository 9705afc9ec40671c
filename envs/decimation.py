"""Thins out the visual meshes of a model, in memory.

In: a model that is only drawn. Out: the same model with fewer triangles; normals and texture coordinates of
the triangles that stay are kept, so shading and textures stay the same.
"""

import mujoco
import numpy as np

ROBOT_CELL = 0.006
OBJECT_CELL = 0.002
"""Edge of the cells, in metres, within which a mesh's vertices are merged."""
MIN_FACES = 64
_ROBOT_PREFIXES = ("robot", "mount", "gripper")


def decimate(model: mujoco.MjModel) -> None:
    for mesh in range(model.nmesh):
        if model.mesh_facenum[mesh] >= MIN_FACES:
            is_robot = model.mesh(mesh).name.startswith(_ROBOT_PREFIXES)
            _decimate_mesh(model, mesh, ROBOT_CELL if is_robot else OBJECT_CELL)


def _decimate_mesh(model: mujoco.MjModel, mesh: int, cell: float) -> None:
    first = model.mesh_vertadr[mesh]
    vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
    first = model.mesh_faceadr[mesh]
    rows = slice(first, first + model.mesh_facenum[mesh])
    faces = model.mesh_face[rows].copy()
    merged = merge_vertices(vertices, faces, cell)[faces]
    kept = _first_of_each_triangle(merged)
    if not len(kept):
        return
    target = slice(first, first + len(kept))
    model.mesh_face[target] = merged[kept]
    model.mesh_facenormal[target] = model.mesh_facenormal[rows][kept]
    model.mesh_facetexcoord[target] = model.mesh_facetexcoord[rows][kept]
    model.mesh_facenum[mesh] = len(kept)


def merge_vertices(vertices: np.ndarray, faces: np.ndarray, cell: float) -> np.ndarray:
    """(V,) for each vertex the one that stands for its cell: the nearest to the mean of the cell's vertices.

    The two sides of a thin shell stay apart: vertices are merged only if their normals point into one octant.
    """
    keys = np.floor(vertices / cell).astype(np.int64)
    octants = (vertex_normals(vertices, faces) > 0).astype(np.int64)
    _, groups = np.unique(np.hstack([keys, octants]), axis=0, return_inverse=True)
    groups = groups.ravel()
    counts = np.bincount(groups)
    means = np.stack([np.bincount(groups, weights=vertices[:, axis]) / counts for axis in range(3)], axis=1)
    distances = np.linalg.norm(vertices - means[groups], axis=1)
    order = np.lexsort((distances, groups))
    is_nearest = np.diff(groups[order], prepend=-1) > 0
    return order[is_nearest][groups]


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3), not normalised: the sum over the faces around each vertex, weighted by area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return normals


def _first_of_each_triangle(faces: np.ndarray) -> np.ndarray:
    """Row numbers of triangles that have three different corners, each triangle once."""
    corners = np.sort(faces, axis=1)
    is_triangle = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])
    rows = np.nonzero(is_triangle)[0]
    _, first = np.unique(corners[rows], axis=0, return_index=True)
    return rows[np.sort(first)]
