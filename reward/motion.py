"""What the arm, the gripper and the objects did in one episode: all that labels are made from.

In: a demonstration in LIBERO's layout. Out: `Motion`.
Shape letters: T samples, S numbers of a simulator state.
"""

from dataclasses import dataclass

import numpy as np

from envs.demos import Demo

CONTROL_HZ = 20.0
NUM_ROBOT_JOINTS = 9
"""Seven of the arm and two fingers; they come first among a state's positions."""
CORRELATED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """One episode, sampled evenly. Sample t is what was seen before command t."""

    rate_hz: float
    opening: np.ndarray
    """(T,) metres between the fingers, as measured."""
    command: np.ndarray
    """(T,) what the gripper was told: above 0 close, below 0 open."""
    speed: np.ndarray
    """(T,) m/s of the end effector since the sample before."""
    object_speed: np.ndarray | None
    """(T,) fastest joint of any object or fixture, m/s or rad/s; None where it was not recorded."""
    success_at: int | None
    """First sample at which the task was solved; None in a failure."""

    @property
    def num_samples(self) -> int:
        return len(self.opening)

    def samples(self, seconds: float) -> int:
        """So much time in samples, at least one."""
        return max(1, round(seconds * self.rate_hz))


def motion_of_demo(demo: Demo) -> Motion:
    """A demonstration's own numbers. `num_steps` actions were executed when it was solved."""
    return Motion(
        rate_hz=CONTROL_HZ,
        opening=opening(demo.gripper),
        command=demo.actions[:, 6],
        speed=speed(demo.end_effector[:, :3], CONTROL_HZ),
        object_speed=object_speed(demo.states, CONTROL_HZ),
        success_at=min(demo.num_steps, demo.num_samples - 1) if demo.success else None,
    )


def opening(fingers_T2: np.ndarray) -> np.ndarray:
    """(T,) metres between the fingers, which move apart in opposite directions."""
    return np.abs(fingers_T2).sum(axis=1)


def speed(positions_TD: np.ndarray, rate_hz: float) -> np.ndarray:
    """(T,) distance from the sample before, per second; zero at first."""
    steps = np.diff(positions_TD, axis=0, prepend=positions_TD[:1])
    return np.linalg.norm(steps, axis=1) * rate_hz


def object_speed(states_TS: np.ndarray, rate_hz: float) -> np.ndarray | None:
    """(T,) fastest joint that is not the robot's; None where it is unclear which numbers are positions."""
    num_positions = count_positions(states_TS, rate_hz)
    if num_positions is None:
        return None
    objects = states_TS[:, 1 + NUM_ROBOT_JOINTS : 1 + num_positions]
    return np.abs(np.diff(objects, axis=0, prepend=objects[:1])).max(axis=1, initial=0.0) * rate_hz


def count_positions(states_TS: np.ndarray, rate_hz: float) -> int | None:
    """How many numbers of a state are joint positions; the rest (fewer, by one per free body) are velocities.

    Files do not say. But the first arm joint's velocity must be where the positions end, and it is known: the
    difference quotient of column 1.
    """
    if len(states_TS) < 3:
        return None
    quotient = np.gradient(states_TS[:, 1]) * rate_hz
    half = (states_TS.shape[1] - 1) // 2
    columns = range(half + 1, states_TS.shape[1])
    scores = [_correlation(quotient, states_TS[:, column]) for column in columns]
    best = int(np.argmax(scores))
    return columns[best] - 1 if scores[best] > CORRELATED else None


def _correlation(a_T: np.ndarray, b_T: np.ndarray) -> float:
    a_T, b_T = a_T - a_T.mean(), b_T - b_T.mean()
    return float(a_T @ b_T / (np.linalg.norm(a_T) * np.linalg.norm(b_T) + 1e-12))
