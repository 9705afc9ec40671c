"""Which geoms a camera cannot see because they are beside or behind its view.

In: a model, the data of one moment, a camera's number, geoms. Out: those of them that need not be drawn.
Software rendering transforms every triangle before it finds that it lies outside the picture; the arm's upper
links always do.
"""

import mujoco
import numpy as np

_CORNERS_83 = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(8, 3)


def out_of_view(model: mujoco.MjModel, data: mujoco.MjData, camera: int, geoms_G: np.ndarray) -> np.ndarray:
    """The geoms whose bounding box lies wholly beyond one of the four sides of a square picture."""
    to_camera = data.cam_xmat[camera].reshape(3, 3)  # columns point right, up and backwards
    rotations_G33 = data.geom_xmat[geoms_G].reshape(-1, 3, 3).transpose(0, 2, 1) @ to_camera
    origins_G3 = (data.geom_xpos[geoms_G] - data.cam_xpos[camera]) @ to_camera
    center_G3, half_G3 = np.split(model.geom_aabb[geoms_G], 2, axis=1)
    corners_G83 = origins_G3[:, None] + (center_G3[:, None] + half_G3[:, None] * _CORNERS_83) @ rotations_G33
    reach_G8 = -np.tan(np.deg2rad(model.cam_fovy[camera]) / 2) * corners_G83[:, :, 2]
    right_G8, up_G8 = corners_G83[:, :, 0], corners_G83[:, :, 1]
    beyond_4G = [(side_G8 > reach_G8).all(axis=1) for side_G8 in (right_G8, -right_G8, up_G8, -up_G8)]
    return geoms_G[np.any(beyond_4G, axis=0)]
