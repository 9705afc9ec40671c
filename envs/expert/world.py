"""What the expert may look at: everything. In: an environment. Out: geometry of the gripper, objects and
regions.

Objects, fixtures and regions go by the names of the task file. Positions are metres in the world frame; N
points.
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import mujoco
import numpy as np

from envs.expert.surfaces import sample_surface

TILE_M = 0.006
"""Spacing of the sampled surface points: half of a finger's thickness."""


class Simulated(Protocol):
    """What the expert needs of an environment; `LiberoEnv` is one."""

    model: Any
    data: Any

    @property
    def problem(self) -> Any:
        """LIBERO's problem object, looking at `data`."""


class World:
    """A live view of one episode: every call reads the simulator's present state."""

    def __init__(self, env: Simulated) -> None:
        self._env, self.model, self.data = env, env.model, env.data
        robot = env.problem.robots[0]
        self._grip_site = self.model.site(robot.controller.eef_name).id
        self._surfaces = {name: self._surface(body) for name, body in self.problem.obj_body_id.items()}

    @property
    def problem(self) -> Any:
        return self._env.problem

    # The arm

    @property
    def gripper_position(self) -> np.ndarray:
        return np.array(self.data.site_xpos[self._grip_site])

    @property
    def gripper_rotation(self) -> np.ndarray:
        """(3, 3): x is the axis along which the fingers close, z points out of the hand."""
        return self.data.site_xmat[self._grip_site].reshape(3, 3).copy()

    @property
    def base_xy(self) -> np.ndarray:
        return self.data.body("robot0_link0").xpos[:2].copy()

    # Objects, fixtures, regions

    def position(self, name: str) -> np.ndarray:
        """Of an object's body or of a region's centre."""
        if name in self._surfaces:
            return self.data.xpos[self.problem.obj_body_id[name]].copy()
        return self.data.site(name).xpos.copy()

    def rotation(self, name: str) -> np.ndarray:
        if name in self._surfaces:
            return self.data.xmat[self.problem.obj_body_id[name]].reshape(3, 3).copy()
        return self.data.site(name).xmat.reshape(3, 3).copy()

    def is_region(self, name: str) -> bool:
        return name in self.problem.object_sites_dict

    def region_half_size(self, region: str) -> np.ndarray:
        """Half extents along the world's axes, as LIBERO's containment test takes them."""
        return np.abs(self.rotation(region) @ np.asarray(self.problem.object_sites_dict[region].size))

    def parent(self, region: str) -> str | None:
        """The object that a region belongs to; None for a piece of table or floor."""
        name = getattr(self.problem.object_sites_dict[region], "parent_name", None)
        return name if name in self._surfaces else None

    def holds(self, goal: Sequence[str]) -> bool:
        """Whether one predicate of the task, such as ("on", "bowl_1", "plate_1"), is true now."""
        return bool(self.problem._eval_predicate(list(goal)))

    # Joints of fixtures

    def joint_of(self, name: str) -> str:
        """The joint that opens a region's drawer, or the only joint of a fixture."""
        owner = (
            self.problem.object_sites_dict[name] if self.is_region(name) else self.problem.get_object(name)
        )
        assert owner.joints, f"{name} has no joint"
        return str(owner.joints[0])

    def is_movable(self, region: str) -> bool:
        return bool(getattr(self.problem.object_sites_dict[region], "joints", None))

    def has_hinge(self, fixture: str) -> bool:
        joints = self.problem.get_object(fixture).joints
        kinds = [self.model.joint(joint).type[0] for joint in joints]
        return mujoco.mjtJoint.mjJNT_HINGE in kinds

    def joint_value(self, joint: str) -> float:
        return float(self.data.joint(joint).qpos[0])

    def joint_axis(self, joint: str) -> np.ndarray:
        return self.data.joint(joint).xaxis.copy()

    def opening_direction(self, joint: str) -> np.ndarray:
        """Unit vector along which a drawer opens."""
        return self.joint_axis(joint) * np.sign(self.model.joint(joint).range.sum())

    def joint_anchor(self, joint: str) -> np.ndarray:
        return self.data.joint(joint).xanchor.copy()

    def joint_points(self, joint: str) -> np.ndarray:
        """(N, 3) surface of the part that this joint moves: a drawer, a door, a knob."""
        return self._place(self._surface(int(self.model.joint(joint).bodyid[0])))

    # Surfaces

    def points(self, name: str) -> np.ndarray:
        """(N, 3) points on the collision surface of an object with all its parts."""
        return self._place(self._surfaces[name])

    def obstacles(self, skip: Collection[str] = ()) -> np.ndarray:
        """(N, 3) points of everything that is not skipped."""
        clouds = [self.points(name) for name in self._surfaces if name not in skip]
        return np.concatenate(clouds) if clouds else np.zeros((0, 3))

    def highest_between(
        self, start: np.ndarray, end: np.ndarray, width: float, skip: Collection[str]
    ) -> float:
        """Top of whatever lies within `width` of the straight way from start to end, seen from above."""
        points = self.obstacles(skip)
        way = end[:2] - start[:2]
        along = np.clip((points[:, :2] - start[:2]) @ way / (way @ way + 1e-9), 0, 1)
        aside = np.linalg.norm(points[:, :2] - start[:2] - along[:, None] * way, axis=1)
        return float(points[aside < width, 2].max(initial=-np.inf))

    def _surface(self, body: int) -> tuple[np.ndarray, np.ndarray]:
        """(geom of each point, (N, 3) points in that geom's frame) of a body and all below it."""
        geoms = [
            geom for geom in range(self.model.ngeom) if self._collides(geom) and self._is_below(geom, body)
        ]
        clouds = [sample_surface(self.model, geom, TILE_M) for geom in geoms]
        owners = np.repeat(np.array(geoms, dtype=int), [len(cloud) for cloud in clouds])
        return owners, np.concatenate(clouds) if clouds else np.zeros((0, 3))

    def _place(self, surface: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        owners, local = surface
        rotations = self.data.geom_xmat[owners].reshape(-1, 3, 3)
        return np.einsum("nij,nj->ni", rotations, local) + self.data.geom_xpos[owners]

    def _collides(self, geom: int) -> bool:
        return bool(self.model.geom_contype[geom] or self.model.geom_conaffinity[geom])

    def _is_below(self, geom: int, body: int) -> bool:
        here = int(self.model.geom_bodyid[geom])
        while here > 0 and here != body:
            here = int(self.model.body_parentid[here])
        return here == body
