"""Pseudo-labels: at which frames of an episode a sub-task has just been reached, from motion alone.

In: a `Motion`, thresholds, a rule set. Out: `Labels`: keyframes, and for every sample what the reward
model should answer. NaN marks a question that nobody knows the answer to.

    opening   ‾‾‾‾‾‾‾‾\\_______________/‾‾‾‾‾‾
    speed     /‾‾‾‾‾\\__/‾‾‾‾‾‾‾‾‾‾‾\\__/‾‾‾‾‾   a gripper change, then the arm at rest: a keyframe
    segment   0 0 0 0 0 1 1 1 1 1 1 1 1 2 2 2

Shape letters: T samples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reward.motion import Motion

CARRIED_SHARE = 0.3
"""Of the time between closing and opening: something that was carried moved for at least so much of it."""

Rules = Callable[["Motion", "LabelOptions"], list[int]]
"""A rule set: the keyframes of one episode, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """Thresholds of the label extraction."""

    min_travel: float = 0.15
    """A change of the opening counts from this share of the episode's range on: its hysteresis."""
    min_range_m: float = 0.005
    """In an episode whose opening varies by less nothing counts."""
    still_per_s: float = 1.2
    """The fingers have arrived when they move by less than this share of the range per second."""
    rest_speed: float = 0.12
    """m/s below which the end effector is at rest."""
    settle_s: float = 0.15
    """How long after a change the arm may take to come to rest."""
    moving_speed: float = 0.02
    """An object moves when a joint of its does more than this, m/s or rad/s; it rests below half of that."""
    radius_s: float = 0.1
    """Frames so near a keyframe are positive as well; as many around those are asked nothing."""
    near_success_s: float = 0.2
    """Before success it is not asked for so long whether the task is done: no picture could tell."""
    horizon_s: float = 2.5
    """Progress falls to 1/e so long before success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is known about each sample of one episode."""

    keyframes: list[int]
    """Samples at which a sub-task was reached, in order."""
    step: np.ndarray
    """(T,) 1 where a sub-task has just been reached, else 0 (or NaN)."""
    done: np.ndarray
    """(T,) 1 from success on, else 0 (or NaN)."""
    progress: np.ndarray
    """(T,) in 0..1: exp(-time to success / horizon), the discounted value of success; NaN in a failure."""


def make_labels(motion: Motion, options: LabelOptions, rules: Rules) -> Labels:
    """Everything at once. Success is a keyframe of its own: the last sub-task is the task."""
    keyframes = rules(motion, options)
    success_at = motion.success_at
    if success_at is not None:
        keyframes = sorted({*keyframes, success_at})
    return Labels(
        keyframes=keyframes,
        step=_step_labels(motion, options, keyframes),
        done=_done_labels(motion, options),
        progress=_progress(motion, options),
    )


def gripper_keyframes(motion: Motion, options: LabelOptions) -> list[int]:
    """For tasks that grasp and release: the arm at rest when the fingers of a significant change arrive.

    Not at its slowest: a retreat may end soon after, more slowly still. A hand that opens without having
    moved anything since it closed has missed, and lets go of nothing: no keyframe.
    """
    found: list[int] = []
    closed = 0
    for change in gripper_changes(motion, options):
        rest = _rest(motion, options, change)
        if change.closing:
            closed = change.arrived
        elif not _has_moved_objects(motion, options, slice(closed, change.begun + 1)):
            continue
        if rest is not None:
            found.append(rest)
    return found


def _rest(motion: Motion, options: LabelOptions, change: "GripperChange") -> int | None:
    """The sample nearest to the fingers' arrival at which the arm rests, if it does."""
    end = min(change.arrived + motion.samples(options.settle_s), motion.num_samples - 1)
    window = np.arange(change.noticed, end + 1)
    resting = window[motion.speed[window] < options.rest_speed]
    return int(resting[np.argmin(np.abs(resting - change.arrived))]) if len(resting) else None


def _has_moved_objects(motion: Motion, options: LabelOptions, span: slice) -> bool:
    """Whether an object moved for a good part of the time; taken for granted where none was recorded."""
    if motion.object_speed is None:
        return True
    moving = motion.object_speed[span] > options.moving_speed
    return bool(moving.sum() >= max(1.0, CARRIED_SHARE * len(moving)))


def motion_keyframes(motion: Motion, options: LabelOptions) -> list[int]:
    """For tasks without gripper milestones (push, slide, turn): an object begins to move, and comes to rest.

    Where objects were not recorded, the arm coming to rest after a movement has to do.
    """
    moving = motion.speed if motion.object_speed is None else motion.object_speed
    high = options.rest_speed if motion.object_speed is None else options.moving_speed
    spans = moving_spans(moving, high=high, low=high / 2, pause=motion.samples(options.settle_s))
    if motion.object_speed is None:
        return [end for _, end in spans if end < motion.num_samples - 1]
    return sorted({edge for span in spans for edge in span if edge < motion.num_samples - 1})


RULES: dict[str, Rules] = {"gripper": gripper_keyframes, "motion": motion_keyframes}
MOTION_VERBS = ("open", "close", "push", "turn", "slide")


def rules_for(instruction: str) -> str:
    """Name of the rule set that suits a task: by its first verb, unless something is also put somewhere."""
    words = instruction.lower().split()
    grasps = any(word in ("put", "pick", "place") for word in words)
    return "motion" if words[0] in MOTION_VERBS and not grasps else "gripper"


@dataclass(frozen=True, slots=True, kw_only=True)
class GripperChange:
    """The fingers closed or opened."""

    begun: int
    noticed: int
    """First sample at which the change was significant."""
    arrived: int
    """First sample from which the fingers hardly move."""
    closing: bool


def gripper_changes(motion: Motion, options: LabelOptions) -> list[GripperChange]:
    """Every significant change that was commanded; what squeezes or pushes the fingers is none."""
    reach = np.ptp(motion.opening)
    if reach < options.min_range_m:
        return []
    opening_T = (motion.opening - motion.opening.min()) / reach
    rate_T = np.abs(np.diff(opening_T, append=opening_T[-1])) * motion.rate_hz
    changes = []
    for begun, noticed, closing in turning_points(opening_T, options.min_travel):
        still = np.flatnonzero(rate_T[noticed:] < options.still_per_s)
        arrived = noticed + int(still[0])
        told = motion.command[max(0, begun - 1) : noticed + 1] > 0
        if (told == closing).any():
            changes.append(GripperChange(begun=begun, noticed=noticed, arrived=arrived, closing=closing))
    return changes


def turning_points(values_T: np.ndarray, travel: float) -> list[tuple[int, int, bool]]:
    """(extreme, first sample more than `travel` away from it, whether it fell) of every reversal.

    A reversal smaller than `travel` is none, so that a flicker at a threshold cannot count many times.
    """
    found: list[tuple[int, int, bool]] = []
    highest = lowest = 0
    for now, value in enumerate(values_T):
        last_fell = found[-1][2] if found else None
        highest = now if value >= values_T[highest] else highest
        lowest = now if value <= values_T[lowest] else lowest
        if last_fell is not True and values_T[highest] - value > travel:
            found.append((highest, now, True))
            lowest = now
        elif last_fell is not False and value - values_T[lowest] > travel:
            found.append((lowest, now, False))
            highest = now
    return found


def moving_spans(speed_T: np.ndarray, *, high: float, low: float, pause: int) -> list[tuple[int, int]]:
    """(first sample above `high`, first below `low` after it) of each movement; short pauses end none."""
    spans: list[tuple[int, int]] = []
    begun: int | None = None
    for now, value in enumerate(speed_T):
        if begun is None and value > high:
            begun = now
            if spans and now - spans[-1][1] <= pause:
                begun = spans.pop()[0]
        elif begun is not None and value < low:
            spans.append((begun, now))
            begun = None
    return spans if begun is None else [*spans, (begun, len(speed_T) - 1)]


def _step_labels(motion: Motion, options: LabelOptions, keyframes: list[int]) -> np.ndarray:
    """In a failure nobody knows which keyframes counted, so there they are only left out."""
    radius = motion.samples(options.radius_s)
    step_T = np.zeros(motion.num_samples)
    for keyframe in keyframes:
        step_T[max(0, keyframe - 2 * radius) : keyframe + 2 * radius + 1] = np.nan
    if motion.success_at is not None:
        for keyframe in keyframes:
            step_T[max(0, keyframe - radius) : keyframe + radius + 1] = 1
    return step_T


def _done_labels(motion: Motion, options: LabelOptions) -> np.ndarray:
    done_T = np.zeros(motion.num_samples)
    if motion.success_at is not None:
        done_T[max(0, motion.success_at - motion.samples(options.near_success_s)) :] = np.nan
        done_T[motion.success_at :] = 1
    return done_T


def _progress(motion: Motion, options: LabelOptions) -> np.ndarray:
    if motion.success_at is None:
        return np.full(motion.num_samples, np.nan)
    remaining_s = (motion.success_at - np.arange(motion.num_samples)) / motion.rate_hz
    return np.exp(-np.maximum(remaining_s, 0) / options.horizon_s)
