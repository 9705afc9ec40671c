"""Demonstrations as training examples.

In: HDF5 files in LIBERO's layout and a policy's processor. Out: batches of frames, prompts, action tokens to
imitate, and what the auxiliary heads are asked for.

Shape letters: N examples, B batch, T steps of an episode, A action tokens, H W C picture.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.types import MAIN_CAMERA, WRIST_CAMERA
from envs.demos import Demo, DemoFile
from policy.processing import Processor
from policy.tokens import compute_statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One demonstration; pictures of every `stride`-th step alone, since neighbours are alike.

    It ends with success, as an episode does. What files hold after that is mostly rest, and rest is the one
    action that is always exactly the same: taught often, it is the greedy choice wherever others vary.
    """

    instruction: str
    frames: np.ndarray
    """(ceil(T / stride), H, cameras · W, 3) uint8."""
    stride: int
    actions: np.ndarray
    """(T, 7) labels to imitate."""
    pose: np.ndarray
    """(T, 4) position of the end effector in metres, and how far the fingers are apart."""
    next_grip: np.ndarray
    """(T, 3) where the end effector will be when the gripper next opens or closes, or at the end."""

    @property
    def num_examples(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Examples of one optimizer step."""

    frames: np.ndarray
    """(B, H, W, 3) uint8, not yet cropped."""
    prompts: list[list[int]]
    tokens: np.ndarray
    """(B, A) int64."""
    pose: np.ndarray
    """(B, 4) float32, standardised over the data."""
    next_grip: np.ndarray
    """(B, 3) float32, likewise."""


def read_episodes(files: Iterable[Path], stride: int, cameras: Iterable[str]) -> Iterator[Episode]:
    """All successful demonstrations of the files."""
    for path in files:
        with DemoFile(path) as demos:
            for demo in demos:
                if demo.success:
                    yield _episode(demo, demos.instruction, stride, tuple(cameras))


def _episode(demo: Demo, instruction: str, stride: int, cameras: tuple[str, ...]) -> Episode:
    until = slice(demo.num_steps)
    width = np.abs(demo.gripper[until]).sum(axis=1, keepdims=True)
    position, actions = demo.end_effector[until, :3], demo.clean_actions[until]
    return Episode(
        instruction=instruction,
        frames=pictures(demo, cameras)[until][::stride].copy(),  # the others are not kept in memory
        stride=stride,
        actions=actions,
        pose=np.concatenate([position, width], axis=1),
        next_grip=position[next_switch(actions[:, 6])],
    )


def pictures(demo: Demo, cameras: tuple[str, ...]) -> np.ndarray:
    """(T, H, cameras · W, 3) of a demonstration, side by side as a policy's environments give them."""
    known = {MAIN_CAMERA: demo.frames, WRIST_CAMERA: demo.wrist_frames}
    if unknown := set(cameras) - set(known):
        raise ValueError(f"demonstrations have pictures of {', '.join(known)}, not of {', '.join(unknown)}")
    return np.concatenate([known[camera] for camera in cameras], axis=2)


def next_switch(gripper_T: np.ndarray) -> np.ndarray:
    """(T,) index of the next step with another gripper command than this one; the last step if none has."""
    last = len(gripper_T) - 1
    switches = np.append(np.flatnonzero(np.diff(np.sign(gripper_T))) + 1, last)
    return switches[
        np.searchsorted(switches, np.arange(len(gripper_T)), side="right").clip(max=len(switches) - 1)
    ]


def action_statistics(episodes: list[Episode], name: str) -> dict[str, Any]:
    """`dataset_statistics.json` of these demonstrations."""
    actions = np.concatenate([episode.actions for episode in episodes])
    return {
        name: {
            "action": compute_statistics(actions),
            "num_transitions": len(actions),
            "num_trajectories": len(episodes),
        }
    }


class ImitationData:
    """Examples of all episodes, tokenised once; frames stay where the episodes have them."""

    def __init__(self, episodes: list[Episode], processor: Processor) -> None:
        self.episodes, self.processor = episodes, processor
        self._prompts = {e.instruction: processor.prompt_ids(e.instruction) for e in episodes}
        steps = [np.arange(e.num_examples) * e.stride for e in episodes]
        self._episode_N = np.repeat(np.arange(len(episodes)), [e.num_examples for e in episodes])
        self._step_N = np.concatenate(steps)
        self._tokens_NA = np.concatenate([self._tokens(e, t) for e, t in zip(episodes, steps, strict=True)])
        self._pose_N4 = _standardised([e.pose[t] for e, t in zip(episodes, steps, strict=True)])
        self._grip_N3 = _standardised([e.next_grip[t] for e, t in zip(episodes, steps, strict=True)])

    def __len__(self) -> int:
        return len(self._step_N)

    def batch(self, rows_B: np.ndarray) -> Batch:
        owners = [self.episodes[index] for index in self._episode_N[rows_B]]
        frames = [e.frames[t // e.stride] for e, t in zip(owners, self._step_N[rows_B], strict=True)]
        return Batch(
            frames=np.stack(frames),
            prompts=[self._prompts[e.instruction] for e in owners],
            tokens=self._tokens_NA[rows_B],
            pose=self._pose_N4[rows_B],
            next_grip=self._grip_N3[rows_B],
        )

    def _tokens(self, episode: Episode, steps: np.ndarray) -> np.ndarray:
        """(len(steps), A): what was done from each step on; past the end the last action goes on."""
        num_steps = self.processor.config.steps_per_decision
        padded = np.concatenate([episode.actions, np.tile(episode.actions[-1], (num_steps, 1))])
        return np.stack([self.processor.encode(padded[t : t + num_steps]) for t in steps]).astype(np.int64)


def _standardised(parts: list[np.ndarray]) -> np.ndarray:
    values = np.concatenate(parts)
    return ((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)).astype(np.float32)
