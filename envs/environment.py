"""One LIBERO environment under LIBERO's protocol, Gymnasium conventions.

In: a Start to reset to, then actions: end-effector translation and rotation in [-1, 1], gripper -1 open, +1
close; (7,) for one step at 20 Hz or (K, 7) for K of them with one picture at the end. Out: observations
{"frame": (H, W, 3) uint8, turned by 180 degrees; "proprio": (8,) position of the end effector, its
orientation as axis times angle, the two fingers}. With several cameras, their pictures lie side by side in
the frame: (H, cameras x W, 3).

Success terminates, the step limit truncates. Environments of one task in a process share the built task.
"""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from core.config import RenderMode, Shift
from core.types import MAIN_CAMERA, Start
from envs import renderer, suites
from envs.physics import ArmControl
from envs.shifts import moved
from envs.simulation import simulation
from envs.starts import initial_state
from envs.suites import Task

ACTION_SIZE = 7
SETTLE_STEPS = 10
SETTLE_ACTION = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
_SHOWN = (
    *("qpos", "xpos", "xmat", "xquat", "geom_xpos", "geom_xmat", "site_xpos", "site_xmat"),
    *("cam_xpos", "cam_xmat", "light_xpos", "light_xdir"),
)
"""What observations read of MuJoCo's data."""

Observation = dict[str, np.ndarray]


class LiberoEnv:
    def __init__(
        self,
        task: Task,
        *,
        assets: Path,
        render: RenderMode | None = RenderMode.FAST,
        size: int = 128,
        cameras: tuple[str, ...] = (MAIN_CAMERA,),
        seed: int = 0,
        shift: Shift = Shift.NONE,
    ) -> None:
        if size < 1:
            raise ValueError(f"The size of a picture is at least 1 pixel, got {size}.")
        if render is not None and not renderer.is_active():
            renderer.activate(renderer.probe())
        self._assets, self._seed, self._shift = assets, seed, shift
        self._render, self._size, self._cameras = render, size, cameras
        self.set_task(task)

    def set_task(self, task: Task) -> None:
        """Plays `task` from the next reset on; a task this process has built already is not built again."""
        self.task = task
        self._simulation = simulation(task, self._assets, self._seed, self._shift)
        self.model = self._simulation.model
        self._check_cameras()
        self.data = mujoco.MjData(self.model)
        self._shown = mujoco.MjData(self.model)
        self._control = ArmControl(self.model, self.data, self._simulation.arm)
        self._num_steps = 0

    def _check_cameras(self) -> None:
        known = [self.model.camera(index).name for index in range(self.model.ncam)]
        if unknown := set(self._cameras) - set(known):
            raise ValueError(f"Unknown cameras {sorted(unknown)}; known are {known}.")

    @property
    def problem(self) -> Any:
        """LIBERO's problem object, looking at this environment."""
        return self._simulation.bind(self.data)

    def reset(self, start: Start) -> tuple[Observation, dict[str, Any]]:
        if start.task != self.task.id:
            self.set_task(suites.task(start.task))
        state = initial_state(self._simulation, start)
        if self._shift is Shift.STARTS:
            state = moved(self.problem, self.model, state, start)
        self._set_state(state)
        for _ in range(SETTLE_STEPS):
            self._control.step(SETTLE_ACTION, self._show)
        self._num_steps = 0
        return self._observation(), self._info(self._succeeded())

    def step(self, actions: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        success = False
        for action in _checked(actions):
            self._control.step(action, self._show)
            self._num_steps += 1
            success = self._succeeded()
            if success or self._num_steps >= self.task.max_steps:
                break
        truncated = not success and self._num_steps >= self.task.max_steps
        return self._observation(), float(success), success, truncated, self._info(success)

    def frame(self) -> np.ndarray:
        """(H, cameras x W, 3) uint8 of the moment that the last observation shows."""
        if self._render is None:
            raise ValueError("This environment was made with render=None; ask for RenderMode.FAST or EXACT.")
        self.problem._post_process()  # colours of sites, such as a lit stove, live in the shared model
        renderer = self._simulation.renderer(self._render, self._size)
        pictures = [renderer.picture(self._shown, camera) for camera in self._cameras]
        return pictures[0] if len(pictures) == 1 else np.concatenate(pictures, axis=1)

    def state(self) -> np.ndarray:
        """(S,) float64 as LIBERO flattens it: time, joint positions, joint velocities."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def close(self) -> None:
        """Forgets this environment; what is shared stays for the others."""

    def _set_state(self, state: np.ndarray) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.time = state[0]
        self.data.qpos[:], self.data.qvel[:] = np.split(state[1:], [self.model.nq])
        mujoco.mj_forward(self.model, self.data)
        self._control.reset()
        self._show()

    def _show(self) -> None:
        for name in _SHOWN:
            getattr(self._shown, name)[:] = getattr(self.data, name)

    def _succeeded(self) -> bool:
        return bool(self.problem._check_success())

    def _observation(self) -> Observation:
        observation = {"proprio": self._proprio()}
        if self._render is not None:
            observation["frame"] = self.frame()
        return observation

    def _proprio(self) -> np.ndarray:
        arm = self._simulation.arm
        rotation = _axis_angle(self._shown.xquat[arm.hand_body])
        fingers = self._shown.qpos[arm.gripper_joints]
        return np.concatenate([self._shown.site_xpos[arm.site], rotation, fingers])

    def _info(self, success: bool) -> dict[str, Any]:
        return {"success": success, "num_steps": self._num_steps, "proprio": self._proprio()}


def _axis_angle(quaternion: np.ndarray) -> np.ndarray:
    """(4,) w x y z to (3,), with angles up to 2 pi as robosuite has them: no jump at pi."""
    w = np.clip(quaternion[0], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    return np.zeros(3) if sine < 1e-9 else quaternion[1:] * 2.0 * np.arccos(w) / sine


def _checked(actions: np.ndarray) -> np.ndarray:
    """(K, 7) float64."""
    actions = np.asarray(actions)
    allowed = "allowed are finite numbers of shape (7,) or (K, 7) with K > 0"
    if not (np.issubdtype(actions.dtype, np.floating) or np.issubdtype(actions.dtype, np.integer)):
        raise ValueError(f"Actions of type {actions.dtype}; {allowed}.")
    if actions.ndim not in (1, 2) or actions.shape[-1] != ACTION_SIZE or actions.size == 0:
        raise ValueError(f"Actions of shape {actions.shape}; {allowed}.")
    if not np.isfinite(actions).all():
        raise ValueError(
            f"Actions with {np.count_nonzero(~np.isfinite(actions))} non-finite numbers; {allowed}."
        )
    return np.atleast_2d(actions).astype(np.float64)
