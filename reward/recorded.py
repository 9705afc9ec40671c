"""Episodes that a run has recorded, for the reward model: its own policy's successes and failures.

In: `episodes/<id>.npz` of a run folder, and the `.json` beside it. Out: frames and motion.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward.motion import CONTROL_HZ, Motion, opening, speed

RECORDED_SUFFIX = ".npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEpisode:
    """One episode; a sample is a decision, so there are few of them and an object's motion is not known."""

    name: str
    instruction: str
    start: str
    steps_per_frame: int
    frames: np.ndarray
    """(T, H, cameras · H, 3) uint8."""
    motion: Motion

    def pictures(self, cameras: tuple[str, ...]) -> np.ndarray:
        """(T, H, cameras · H, 3); a policy's cameras come in the order that reward models have, too."""
        _, height, width, _ = self.frames.shape
        if width < len(cameras) * height:
            raise ValueError(
                f"{self.name} was recorded with {width // height} cameras, the reward model sees "
                f"{', '.join(cameras)}"
            )
        return self.frames[:, :, : len(cameras) * height]


def read_recorded(path: Path) -> RecordedEpisode:
    """A success ends with its last frame. No command follows that, so the one before goes on."""
    description = path.with_suffix(".json")
    if not description.is_file():
        raise ValueError(f"{path} has no {description.name} beside it, which says how the episode ended")
    about = json.loads(description.read_text())
    with np.load(path, allow_pickle=False) as arrays:
        frames, proprio, actions = arrays["frames"], arrays["proprio"], arrays["actions"]
    rate_hz = CONTROL_HZ / about["steps_per_frame"]
    command = actions[:, -1, 6]
    motion = Motion(
        rate_hz=rate_hz,
        opening=opening(proprio[:, 6:]),
        command=np.append(command, command[-1]),
        speed=speed(proprio[:, :3], rate_hz),
        object_speed=None,
        success_at=len(frames) - 1 if about["success"] else None,
    )
    return RecordedEpisode(
        name=about["episode"],
        instruction=about["instruction"],
        start=about["start"],
        steps_per_frame=about["steps_per_frame"],
        frames=frames,
        motion=motion,
    )
