"""Labelled episodes: what the reward model is trained and judged on.

In: HDF5 files in LIBERO's layout, how to label. Out: `Episode`s, each on the training or the held-out side.
The side depends on the start alone: all episodes from one start are on one side, in every file and run.
Shape letters: N frames kept, H W picture.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.demos import Demo, DemoFile
from policy.imitation_data import pictures
from reward.labels import RULES, LabelOptions, Labels, make_labels, rules_for
from reward.motion import Motion, motion_of_demo

HELD_OUT_EVERY = 5
"""One start of so many is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One labelled episode; pictures of every `stride`-th sample, since neighbours are alike."""

    name: str
    instruction: str
    success: bool
    held_out: bool
    frames: np.ndarray
    """(N, H, cameras · W, 3) uint8 as rendered."""
    samples: np.ndarray
    """(N,) which samples of the recording the frames are."""
    success_at: int | None
    """First sample at which the task was solved."""
    step: np.ndarray
    """(N,) and so on: the labels of these frames, as in `reward.labels.Labels`."""
    done: np.ndarray
    progress: np.ndarray

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def until_success(self) -> int:
        """Frames up to the first that shows success; all in a failure. What a run sees of an episode."""
        if self.success_at is None:
            return self.num_frames
        return int(np.searchsorted(self.samples, self.success_at)) + 1


def read_episodes(
    files: Iterable[Path], stride: int, options: LabelOptions, cameras: tuple[str, ...]
) -> Iterator[Episode]:
    """All episodes of the files, as these cameras saw them."""
    for path in files:
        with DemoFile(path) as demos:
            for index, demo in enumerate(demos):
                name = f"{path.stem}/{index}"
                yield label_episode(demo, demos.instruction, name, stride, options, cameras)


def label_episode(
    demo: Demo, instruction: str, name: str, stride: int, options: LabelOptions, cameras: tuple[str, ...]
) -> Episode:
    """Label every sample, then keep every `stride`-th, and the one at which success showed."""
    motion, labels = label_demo(demo, instruction, options)
    kept = np.arange(0, motion.num_samples, stride)
    if motion.success_at is not None:
        kept = np.union1d(kept, motion.success_at)
    return Episode(
        name=name,
        instruction=instruction,
        success=demo.success,
        held_out=is_held_out(str(demo.start or name)),
        frames=pictures(demo, cameras)[kept],
        samples=kept,
        success_at=motion.success_at,
        step=labels.step[kept],
        done=labels.done[kept],
        progress=labels.progress[kept],
    )


def label_demo(demo: Demo, instruction: str, options: LabelOptions, rules: str = "") -> tuple[Motion, Labels]:
    """Motion and labels by the named rule set, or by the one that suits the instruction."""
    motion = motion_of_demo(demo)
    return motion, make_labels(motion, options, RULES[rules or rules_for(instruction)])


def is_held_out(start: str) -> bool:
    return zlib.crc32(start.encode()) % HELD_OUT_EVERY == 0
