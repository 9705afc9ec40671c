"""One control step of robosuite's Panda under OSC_POSE: the same states, at a quarter of the cost.

robosuite runs the forward dynamics three times per 2 ms sub-step; here a sub-step is `mj_step1`, torque,
`mj_step2`. Sub-steps run in compiled code that calls MuJoCo's library itself, without Python in between.

In: MjModel, MjData, an action (7,): end-effector translation and rotation in [-1, 1], gripper (-1 open, +1
close). Out: MjData 50 ms later.

The law, with x the gripper site's pose, J its Jacobian, M the arm's mass matrix (Khatib 1987):
    wrench = Λ (kp (goal - x) - kd ẋ), translation and rotation decoupled, Λ = (J M⁻¹ Jᵀ)⁻¹
    torque = Jᵀ wrench + bias + N (posture torque), N the null space of the task
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding
import mujoco
import numba
import numpy as np
from numba import types

ARM_JOINTS = 7
SUBSTEPS = 25
"""Of 2 ms in one control step at 20 Hz."""
OBSERVED_SUBSTEP = 23
"""LIBERO's observations of a control step show the simulator after this sub-step, not after the last."""

_TRANSLATION_SCALE = 0.05
_ROTATION_SCALE = 0.5
_GRIPPER_SPEED = 0.01
_POSTURE_KP = 10.0
_POSTURE_KD = 2.0 * np.sqrt(_POSTURE_KP)
_VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
_BAD_QPOS, _BAD_QVEL, _BAD_QACC = (
    int(warning)
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
)
"""Numbers of the warnings that MuJoCo gives before it resets a state that is not finite."""

_ADDRESS, _INT = types.uintp, types.int32
_mj_step1 = types.ExternalFunction("mj_step1", types.void(_ADDRESS, _ADDRESS))
_mj_step2 = types.ExternalFunction("mj_step2", types.void(_ADDRESS, _ADDRESS))
_mj_forward_skip = types.ExternalFunction("mj_forwardSkip", types.void(_ADDRESS, _ADDRESS, _INT, _INT))
_mj_jac_site = types.ExternalFunction("mj_jacSite", types.void(_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _INT))
_mj_full_mass = types.ExternalFunction("mj_fullM", types.void(_ADDRESS, _ADDRESS, _ADDRESS))


class SimulationDivergedError(RuntimeError):
    """The simulator's state is no longer finite; the episode is lost."""


class ArmState(NamedTuple):
    """What the controller reads of the arm in one sub-step."""

    mass: np.ndarray
    """(7, 7)."""
    jacobian: np.ndarray
    """(6, 7) of the gripper site: translation, then rotation."""
    position: np.ndarray
    """(3,) of the gripper site."""
    orientation: np.ndarray
    """(3, 3)."""
    qpos: np.ndarray
    """(7,) of the arm's joints, here and below."""
    qvel: np.ndarray


class Arm(NamedTuple):
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
    """Signed: the two fingers move against each other."""
    kp: float
    kd: float
    rest_qpos: np.ndarray
    """(7,) posture that the null space pulls towards."""
    at_reset: ArmState
    """robosuite's first sub-step after a state is set still sees the arm as its last reset left it."""


class _Simulator(NamedTuple):
    """MuJoCo's model and data, as compiled code reaches them."""

    model: int
    """Address of the C structure."""
    data: int
    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray
    bias: np.ndarray
    mass: np.ndarray
    """In MuJoCo's packed form."""
    site_position: np.ndarray
    site_orientation: np.ndarray
    num_warnings: np.ndarray
    full_mass: np.ndarray
    """(V, V), room for the mass matrix; V degrees of freedom of the whole scene."""
    full_jacobian: np.ndarray
    """(6, V), room for the site's Jacobian."""


class _Control(NamedTuple):
    """What the controller remembers from one sub-step to the next; written in place."""

    seen: ArmState
    goal_position: np.ndarray
    goal_orientation: np.ndarray
    closing: np.ndarray
    """(1,) the gripper's command, -1 open to 1 closed."""


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
        gripper_reach=(gripper_range[:, 1] - gripper_range[:, 0]) / 2 * [-1.0, 1.0],
        kp=float(controller.kp[0]),
        kd=float(controller.kd[0]),
        rest_qpos=np.array(controller.initial_joint, dtype=np.float64),
        at_reset=ArmState(
            mass=np.array(controller.mass_matrix),
            jacobian=np.vstack([controller.J_pos, controller.J_ori]),
            position=np.array(controller.ee_pos),
            orientation=np.array(controller.ee_ori_mat),
            qpos=np.array(controller.joint_pos),
            qvel=np.array(controller.joint_vel),
        ),
    )


class ArmControl:
    """The controller of one environment: its goal, its gripper command, and the simulator data it drives."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arm: Arm) -> None:
        _load_library()
        self._arm, self._owners = arm, (model, data)  # addresses below must not outlive them
        self._simulator = _Simulator(
            model=model._address,
            data=data._address,
            qpos=data.qpos,
            qvel=data.qvel,
            ctrl=data.ctrl,
            bias=data.qfrc_bias,
            mass=data.qM,
            site_position=data.site_xpos[arm.site],
            site_orientation=data.site_xmat[arm.site].reshape(3, 3),
            num_warnings=data.warning.number,
            full_mass=np.zeros((model.nv, model.nv)),
            full_jacobian=np.zeros((6, model.nv)),
        )
        self.reset()

    def reset(self) -> None:
        """Forgets the episode: called after a state was set."""
        at_reset = ArmState(*(part.copy() for part in self._arm.at_reset))
        self._is_first = True
        self._control = _Control(
            seen=at_reset,
            goal_position=at_reset.position.copy(),
            goal_orientation=at_reset.orientation.copy(),
            closing=np.zeros(1),
        )

    def step(self, action: np.ndarray, observe: Callable[[], None]) -> None:
        """One control step; `observe` is called at the moment that LIBERO's observation shows."""
        action = np.clip(action, -1.0, 1.0)
        _check_finite(_forward(self._simulator))
        if not self._is_first:
            _look(self._simulator, self._arm.site, self._control.seen)
        self._is_first = False
        self._set_goal(action)
        self._run(action, OBSERVED_SUBSTEP + 1, is_begun=True)
        observe()
        self._run(action, SUBSTEPS - 1 - OBSERVED_SUBSTEP, is_begun=False)

    def _run(self, action: np.ndarray, num_substeps: int, *, is_begun: bool) -> None:
        direction = float(np.sign(action[6]))
        _check_finite(_substeps(self._simulator, self._arm, self._control, direction, num_substeps, is_begun))

    def _set_goal(self, action: np.ndarray) -> None:
        seen = self._control.seen
        self._control.goal_position[:] = seen.position + _TRANSLATION_SCALE * action[:3]
        rotation = _ROTATION_SCALE * action[3:6]
        if rotation.any():  # without one, the orientation that was asked for last stays the goal
            self._control.goal_orientation[:] = _rotation_matrix(rotation) @ seen.orientation


def _rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """(3,) axis times angle to (3, 3): robosuite's own function, because it rounds to single precision."""
    from robosuite.utils.transform_utils import axisangle2quat, quat2mat

    return quat2mat(axisangle2quat(axis_angle))


def _check_finite(is_finite: bool) -> None:
    """MuJoCo answers a bad state by silently resetting it, which must not pass for an episode."""
    if not is_finite:
        raise SimulationDivergedError("The simulator's state is no longer finite.")


def warm_up() -> None:
    """The first call of compiled code costs a process nearly a second, whichever it is."""
    _rotation_matrix(np.ones(3))


@cache
def _load_library() -> None:
    """Makes the functions of the library that `mujoco` has loaded known to the compiler."""
    (library,) = Path(mujoco.__file__).parent.glob("libmujoco.so*")
    llvmlite.binding.load_library_permanently(str(library))


@numba.njit(cache=True, nogil=True)
def _substeps(simulator, arm, control, direction, num_substeps, is_begun):  # type: ignore[no-untyped-def]
    """Whether the state stayed finite; the first sub-step `is_begun` if its dynamics are computed already."""
    for substep in range(num_substeps):
        if substep > 0 or not is_begun:
            if not _forward(simulator):
                return False
            _look(simulator, arm.site, control.seen)
        _apply(simulator, arm, control, direction)
        _mj_step2(simulator.model, simulator.data)
    return True


@numba.njit(cache=True, nogil=True)
def _forward(simulator):  # type: ignore[no-untyped-def]
    """The dynamics up to where controls matter; whether the state is finite.

    robosuite calls `mj_forward` twice before every `mj_step`. Positions and velocities come out the same,
    but the contact solver starts from its last solution, so one extra solve is kept: after 60 steps
    states then differ by 2e-10 at most; without it, by 7e-2.
    """
    _mj_step1(simulator.model, simulator.data)
    warnings = simulator.num_warnings
    if warnings[_BAD_QPOS] or warnings[_BAD_QVEL] or warnings[_BAD_QACC]:
        return False
    _mj_forward_skip(simulator.model, simulator.data, _VELOCITY_STAGE, 1)
    return True


@numba.njit(cache=True, nogil=True)
def _look(simulator, site, seen):  # type: ignore[no-untyped-def]
    """Copies what the controller reads into `seen`."""
    jacobian, mass = simulator.full_jacobian, simulator.full_mass
    translation, rotation = jacobian[:3].ctypes.data, jacobian[3:].ctypes.data
    _mj_jac_site(simulator.model, simulator.data, translation, rotation, site)
    _mj_full_mass(simulator.model, mass.ctypes.data, simulator.mass.ctypes.data)
    seen.mass[:] = mass[:ARM_JOINTS, :ARM_JOINTS]
    seen.jacobian[:] = jacobian[:, :ARM_JOINTS]
    seen.position[:] = simulator.site_position
    seen.orientation[:] = simulator.site_orientation
    seen.qpos[:] = simulator.qpos[:ARM_JOINTS]
    seen.qvel[:] = simulator.qvel[:ARM_JOINTS]


@numba.njit(cache=True, nogil=True)
def _apply(simulator, arm, control, direction):  # type: ignore[no-untyped-def]
    """Writes the torques of one sub-step into the simulator's controls."""
    torque = _torque(arm, control, simulator.bias[:ARM_JOINTS])
    closing = min(max(control.closing[0] + _GRIPPER_SPEED * direction, -1.0), 1.0)
    control.closing[0] = closing
    for joint in range(ARM_JOINTS):
        simulator.ctrl[arm.joint_actuators[joint]] = torque[joint]
    for finger in range(2):
        command = arm.gripper_middle[finger] + arm.gripper_reach[finger] * closing
        simulator.ctrl[arm.gripper_actuators[finger]] = command


@numba.njit(cache=True, nogil=True)
def _torque(arm, control, bias):  # type: ignore[no-untyped-def]
    """(7,) joint torques; see the equations at the top of this file."""
    seen, kp, kd = control.seen, arm.kp, arm.kd
    mass, jacobian = seen.mass, seen.jacobian
    twist = jacobian @ seen.qvel
    rotation_error = np.zeros(3)
    for column in range(3):
        rotation_error += 0.5 * np.cross(seen.orientation[:, column], control.goal_orientation[:, column])
    inverse_mass = np.linalg.inv(mass)
    inverse_lambda = jacobian @ inverse_mass @ jacobian.T
    wrench = np.empty(6)
    wrench[:3] = np.linalg.inv(inverse_lambda[:3, :3].copy()) @ (
        kp * (control.goal_position - seen.position) - kd * twist[:3]
    )
    wrench[3:] = np.linalg.inv(inverse_lambda[3:, 3:].copy()) @ (kp * rotation_error - kd * twist[3:])
    posture = mass @ (_POSTURE_KP * (arm.rest_qpos - seen.qpos) - _POSTURE_KD * seen.qvel)
    task_inverse = inverse_mass @ jacobian.T @ np.linalg.inv(inverse_lambda)
    null_torque = posture - jacobian.T @ (task_inverse.T @ posture)
    torque = jacobian.T @ wrench + bias + null_torque
    return np.minimum(np.maximum(torque, arm.torque_low), arm.torque_high)
