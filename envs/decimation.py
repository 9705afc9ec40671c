"""Thins out what a model is drawn with, in memory: the triangles of its meshes and the pixels of its
textures.

In: a model that is only drawn, how big a pixel is on the objects, and whether the arm may be coarser than
usual. Out: the same model with less in it.
Vertices that share a cell of a grid become one; triangles that collapse, or come to lie on each other, go.
The normals and texture coordinates of those that stay are kept, so shading and textures stay the same.
"""

import mujoco
import numpy as np

MIN_FACES = 64
_CELL_PIXELS = {"gripper": 1.5, "living": 1.5, "study": 1.5, "mount": 4.0, "kitchen": 4.0}
"""By how a mesh's name starts: the edge of a cell, in pixels. The last ones are in the background."""
_ARM, _ARM_CELL_PIXELS = "robot", 1.5
_COARSE_ARM_CELL_PIXELS = 3.5
_OBJECT_CELL_PIXELS = 0.65
"""Objects carry textures, which follow the merged vertices."""


def decimate(model: mujoco.MjModel, pixel_m: float, *, coarse_arm: bool) -> None:
    cells = _CELL_PIXELS | {_ARM: _COARSE_ARM_CELL_PIXELS if coarse_arm else _ARM_CELL_PIXELS}
    for mesh in range(model.nmesh):
        if model.mesh_facenum[mesh] >= MIN_FACES:
            kind = model.mesh(mesh).name.partition("_")[0].rstrip("0123456789")
            _decimate_mesh(model, mesh, pixel_m * cells.get(kind, _OBJECT_CELL_PIXELS))


def _decimate_mesh(model: mujoco.MjModel, mesh: int, cell: float) -> None:
    first = model.mesh_vertadr[mesh]
    vertices = model.mesh_vert[first : first + model.mesh_vertnum[mesh]]
    first = model.mesh_faceadr[mesh]
    rows = slice(first, first + model.mesh_facenum[mesh])
    faces = merge_vertices(vertices, cell)[model.mesh_face[rows]]
    kept = distinct_triangles(faces)
    if not len(kept):
        return
    target = slice(first, first + len(kept))
    model.mesh_face[target] = faces[kept]
    model.mesh_facenormal[target] = model.mesh_facenormal[rows][kept]
    model.mesh_facetexcoord[target] = model.mesh_facetexcoord[rows][kept]
    model.mesh_facenum[mesh] = len(kept)


def merge_vertices(vertices: np.ndarray, cell: float) -> np.ndarray:
    """(V,) for each vertex the one that stands for its cell: the nearest to the mean of the cell."""
    keys = np.floor(vertices / cell).astype(np.int64)
    keys -= keys.min(axis=0)
    _, groups = np.unique(np.ravel_multi_index(tuple(keys.T), keys.max(axis=0) + 1), return_inverse=True)
    counts = np.bincount(groups)
    means = np.stack([np.bincount(groups, weights=column) / counts for column in vertices.T], axis=1)
    distances = np.linalg.norm(vertices - means[groups], axis=1)
    order = np.lexsort((distances, groups))
    is_nearest = np.diff(groups[order], prepend=-1) > 0
    return order[is_nearest][groups]


def distinct_triangles(faces: np.ndarray) -> np.ndarray:
    """Row numbers of triangles with three different corners, each once.

    The two sides of a thin shell fall on the same corners, turned the other way: both stay.
    """
    a, b, c = faces.T
    rows = np.nonzero((a != b) & (b != c) & (c != a))[0]
    start = np.argmin(faces[rows], axis=1)
    turned = np.take_along_axis(faces[rows], (start[:, None] + np.arange(3)) % 3, axis=1)
    _, first = np.unique(
        np.ravel_multi_index(tuple(turned.T), (turned.max(initial=0) + 1,) * 3), return_index=True
    )
    return rows[np.sort(first)]


def shrink_textures(model: mujoco.MjModel, max_width: int) -> None:
    """Halves textures until they are no wider than this. Drawn small, they would be averaged anyway."""
    for texture in range(model.ntex):
        height, width = model.tex_height[texture], model.tex_width[texture]
        shape = (height, width, model.tex_nchannel[texture])
        first = model.tex_adr[texture]
        pixels = model.tex_data[first : first + height * width * shape[2]].reshape(shape)
        while pixels.shape[1] > max_width and pixels.shape[0] % 2 == pixels.shape[1] % 2 == 0:
            pixels = _halved(pixels)
        model.tex_height[texture], model.tex_width[texture] = pixels.shape[:2]
        model.tex_data[first : first + pixels.size] = pixels.ravel()


def _halved(pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // 2, 2, width // 2, 2, channels)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)
