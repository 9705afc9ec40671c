"""One control step of robosuite's Panda under OSC_POSE: the same states, at two fifths of the cost.

robosuite runs the forward dynamics three times per 2 ms sub-step; here a sub-step is `mj_step1`, torque,
`mj_step2`.

In: MjModel, MjData, an action (7,): end-effector translation and rotation in [-1, 1], gripper (-1 open, +1
close). Out: MjData 50 ms later.

The law, with x the gripper site's pose, J its Jacobian, M the arm's mass matrix (Khatib 1987):
    wrench = Λ (kp (goal - x) - kd ẋ), translation and rotation decoupled, Λ = (J M⁻¹ Jᵀ)⁻¹
    torque = Jᵀ wrench + bias + N (posture torque), N the null space of the task
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numba
import numpy as np

ARM_JOINTS = 7
SUBSTEPS = 25
"""Of 2 ms in one control step at 20 Hz."""
OBSERVED_SUBSTEP = 23
"""LIBERO's observations of a control step show the simulator after this sub-step, not after the last."""

_TRANSLATION_SCALE = 0.05
_ROTATION_SCALE = 0.5
_GRIPPER_SPEED = 0.01
_FINGERS = np.array([-1.0, 1.0])
_POSTURE_KP = 10.0
_POSTURE_KD = 2.0 * np.sqrt(_POSTURE_KP)
_DIVERGED = np.array(
    [
        int(warning)
        for warning in (
            mujoco.mjtWarning.mjWARN_BADQPOS,
            mujoco.mjtWarning.mjWARN_BADQVEL,
            mujoco.mjtWarning.mjWARN_BADQACC,
        )
    ]
)
"""Numbers of the warnings that MuJoCo gives before it resets a state that is not finite."""


class SimulationDivergedError(RuntimeError):
    """The simulator's state is no longer finite; the episode is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmState:
    """What the controller reads of the arm in one sub-step."""

    mass: np.ndarray
    """(7, 7) or larger; the arm's joints come first, here and below."""
    jacobian_pos: np.ndarray
    """(3, 7) or wider, of the gripper site."""
    jacobian_rot: np.ndarray
    position: np.ndarray
    """(3,) of the gripper site."""
    orientation: np.ndarray
    """(3, 3)."""
    qpos: np.ndarray
    qvel: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The robot's constants, as robosuite set them up for one built task."""

    site: int
    hand_body: int
    joint_actuators: np.ndarray
    gripper_actuators: np.ndarray
    gripper_joints: np.ndarray
    torque_low: np.ndarray
    torque_high: np.ndarray
    gripper_middle: np.ndarray
    gripper_reach: np.ndarray
    kp: float
    kd: float
    rest_qpos: np.ndarray
    """(7,) posture that the null space pulls towards."""
    at_reset: ArmState
    """robosuite's first sub-step after a state is set still sees the arm as its last reset left it."""


def read_arm(problem: Any) -> Arm:
    """The constants out of a built and reset LIBERO problem."""
    model = problem.sim.model._model
    robot = problem.robots[0]
    controller = robot.controller
    assert list(controller.qpos_index) == list(controller.qvel_index) == list(range(ARM_JOINTS))
    assert int(problem.control_timestep / problem.model_timestep) == SUBSTEPS
    gripper_actuators = np.array(robot._ref_joint_gripper_actuator_indexes)
    gripper_range = model.actuator_ctrlrange[gripper_actuators]
    torque_low, torque_high = robot.torque_limits
    return Arm(
        site=model.site(controller.eef_name).id,
        hand_body=model.body(robot.robot_model.eef_name).id,
        joint_actuators=np.array(robot._ref_joint_actuator_indexes),
        gripper_actuators=gripper_actuators,
        gripper_joints=np.array(robot._ref_gripper_joint_pos_indexes),
        torque_low=np.array(torque_low, dtype=np.float64),
        torque_high=np.array(torque_high, dtype=np.float64),
        gripper_middle=gripper_range.mean(axis=1),
        gripper_reach=(gripper_range[:, 1] - gripper_range[:, 0]) / 2,
        kp=float(controller.kp[0]),
        kd=float(controller.kd[0]),
        rest_qpos=np.array(controller.initial_joint, dtype=np.float64),
        at_reset=ArmState(
            mass=np.array(controller.mass_matrix),
            jacobian_pos=np.array(controller.J_pos),
            jacobian_rot=np.array(controller.J_ori),
            position=np.array(controller.ee_pos),
            orientation=np.array(controller.ee_ori_mat),
            qpos=np.array(controller.joint_pos),
            qvel=np.array(controller.joint_vel),
        ),
    )


class ArmControl:
    """The controller of one environment: its goal, its gripper command, and the simulator data it drives."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arm: Arm) -> None:
        self._model, self._data, self._arm = model, data, arm
        self._live = ArmState(
            mass=np.zeros((model.nv, model.nv)),
            jacobian_pos=np.zeros((3, model.nv)),
            jacobian_rot=np.zeros((3, model.nv)),
            position=data.site_xpos[arm.site],
            orientation=data.site_xmat[arm.site].reshape(3, 3),
            qpos=data.qpos,
            qvel=data.qvel,
        )
        self.reset()

    def reset(self) -> None:
        """Forgets the episode: called after a state was set."""
        self._seen = self._arm.at_reset
        self._goal_position = self._arm.at_reset.position.copy()
        self._goal_orientation = self._arm.at_reset.orientation.copy()
        self._closing = 0.0

    def step(self, action: np.ndarray, observe: Callable[[], None]) -> None:
        """One control step; `observe` is called at the moment that LIBERO's observation shows."""
        action = np.clip(action, -1.0, 1.0)
        for substep in range(SUBSTEPS):
            self._forward()
            if substep == 0:
                self._set_goal(action)
            self._apply(np.sign(action[6]))
            mujoco.mj_step2(self._model, self._data)
            if substep == OBSERVED_SUBSTEP:
                observe()

    def _forward(self) -> None:
        """The dynamics up to where controls matter.

        robosuite calls `mj_forward` twice before every `mj_step`. Positions and velocities come out the same,
        but the contact solver starts from its last solution, so one extra solve is kept: after 60 steps
        states then differ by 2e-10 at most; without it, by 7e-2.
        """
        mujoco.mj_step1(self._model, self._data)
        self._check_finite()
        mujoco.mj_forwardSkip(self._model, self._data, mujoco.mjtStage.mjSTAGE_VEL, True)

    def _set_goal(self, action: np.ndarray) -> None:
        self._goal_position = self._seen.position + _TRANSLATION_SCALE * action[:3]
        rotation = _ROTATION_SCALE * action[3:6]
        if rotation.any():  # without one, the orientation that was asked for last stays the goal
            self._goal_orientation = _rotation_matrix(rotation) @ self._seen.orientation

    def _apply(self, gripper_direction: float) -> None:
        """Writes the torques of one sub-step into the simulator's controls."""
        arm, ctrl = self._arm, self._data.ctrl
        if self._seen is self._live:
            mujoco.mj_jacSite(
                self._model, self._data, self._live.jacobian_pos, self._live.jacobian_rot, arm.site
            )
            mujoco.mj_fullM(self._model, self._live.mass, self._data.qM)
        seen = self._seen
        ctrl[arm.joint_actuators] = _torque(
            seen.mass,
            seen.jacobian_pos,
            seen.jacobian_rot,
            seen.position,
            seen.orientation,
            seen.qpos,
            seen.qvel,
            self._goal_position,
            self._goal_orientation,
            self._data.qfrc_bias,
            arm.rest_qpos,
            arm.kp,
            arm.kd,
            arm.torque_low,
            arm.torque_high,
        )
        closing = self._closing + _GRIPPER_SPEED * gripper_direction
        self._closing = min(max(closing, -1.0), 1.0)
        ctrl[arm.gripper_actuators] = arm.gripper_middle + arm.gripper_reach * self._closing * _FINGERS
        self._seen = self._live

    def _check_finite(self) -> None:
        """MuJoCo answers a bad state by silently resetting it, which must not pass for an episode."""
        if self._data.warning.number[_DIVERGED].any():
            raise SimulationDivergedError("The simulator's state is no longer finite.")


def _rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """(3,) axis times angle to (3, 3): robosuite's own function, because it rounds to single precision."""
    from robosuite.utils.transform_utils import axisangle2quat, quat2mat

    return quat2mat(axisangle2quat(axis_angle))


@numba.njit(cache=True)
def _torque(  # type: ignore[no-untyped-def]
    mass, jacobian_pos, jacobian_rot, position, orientation, qpos, qvel,
    goal_position, goal_orientation, bias, rest_qpos, kp, kd, low, high,
):  # fmt: skip
    """(7,) joint torques; see the equations at the top of this file."""
    mass = mass[:ARM_JOINTS, :ARM_JOINTS].copy()
    jacobian = np.vstack((jacobian_pos, jacobian_rot))
    twist = jacobian @ qvel
    jacobian = jacobian[:, :ARM_JOINTS].copy()
    rotation_error = np.zeros(3)
    for column in range(3):
        rotation_error += 0.5 * np.cross(orientation[:, column], goal_orientation[:, column])
    inverse_mass = np.linalg.inv(mass)
    inverse_lambda = jacobian @ inverse_mass @ jacobian.T
    wrench = np.empty(6)
    wrench[:3] = np.linalg.inv(inverse_lambda[:3, :3].copy()) @ (
        kp * (goal_position - position) - kd * twist[:3]
    )
    wrench[3:] = np.linalg.inv(inverse_lambda[3:, 3:].copy()) @ (kp * rotation_error - kd * twist[3:])
    posture = mass @ (_POSTURE_KP * (rest_qpos - qpos[:ARM_JOINTS]) - _POSTURE_KD * qvel[:ARM_JOINTS])
    task_inverse = inverse_mass @ jacobian.T @ np.linalg.inv(inverse_lambda)
    null_torque = posture - jacobian.T @ (task_inverse.T @ posture)
    torque = jacobian.T @ wrench + bias[:ARM_JOINTS] + null_torque
    return np.minimum(np.maximum(torque, low), high)
