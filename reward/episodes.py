"""Labelled episodes: what the reward model is trained and judged on.

In: HDF5 files in LIBERO's layout or a run's recorded episodes, how to label. Out: `Episode`s, each on the
training or the held-out side. The side depends on the start alone: all episodes from one start are on one
side, in every file and run.
Shape letters: T samples of a recording, N frames kept, H W picture.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.types import StateSource
from envs.demos import Demo, DemoFile
from policy.imitation_data import pictures
from reward.labels import RULES, LabelOptions, Labels, make_labels, rules_for
from reward.motion import Motion, motion_of_demo
from reward.recorded import RECORDED_SUFFIX, RecordedEpisode, read_recorded

HELD_OUT_EVERY = 5
"""One start of so many is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A recording with all its samples labelled; pictures are only made when they are asked for."""

    name: str
    instruction: str
    start: str
    """Where it began; its name where that is not known."""
    motion: Motion
    labels: Labels
    steps_per_sample: int
    """Environment steps from one sample to the next."""
    pictures: Callable[[tuple[str, ...]], np.ndarray]
    """(T, H, cameras · W, 3) uint8 as these cameras saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One labelled episode; only some of its frames, since neighbours are alike."""

    name: str
    instruction: str
    success: bool
    held_out: bool
    is_published: bool
    """From a published start, by which policies are judged: no reward model may learn from it."""
    frames: np.ndarray
    """(N, H, cameras · W, 3) uint8 as rendered."""
    steps: np.ndarray
    """(N,) environment step at which each frame was seen."""
    success_at: int | None
    """The first step at which the task was solved."""
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
        return int(np.searchsorted(self.steps, self.success_at)) + 1


def read_episodes(
    files: Iterable[Path], stride: int, options: LabelOptions, cameras: tuple[str, ...]
) -> Iterator[Episode]:
    """All episodes of the files, as these cameras saw them, with about every `stride`-th step's frame."""
    for path in files:
        for labelled in label_file(path, options):
            yield thin_out(labelled, stride, cameras)


def label_file(path: Path, options: LabelOptions, rules: str = "") -> Iterator[Labelled]:
    """Labels by the named rule set, or by the one that suits the instruction."""
    if path.suffix == RECORDED_SUFFIX:
        yield label_recorded(read_recorded(path), options, rules)
        return
    with DemoFile(path) as demos:
        for index, demo in enumerate(demos):
            yield label_demo(demo, demos.instruction, f"{path.stem}/{index}", options, rules)


def label_demo(demo: Demo, instruction: str, name: str, options: LabelOptions, rules: str = "") -> Labelled:
    motion = motion_of_demo(demo)
    return Labelled(
        name=name,
        instruction=instruction,
        start=str(demo.start or name),
        motion=motion,
        labels=make_labels(motion, options, RULES[rules or rules_for(instruction)]),
        steps_per_sample=1,
        pictures=partial(pictures, demo),
    )


def label_recorded(recorded: RecordedEpisode, options: LabelOptions, rules: str = "") -> Labelled:
    return Labelled(
        name=recorded.name,
        instruction=recorded.instruction,
        start=recorded.start,
        motion=recorded.motion,
        labels=make_labels(recorded.motion, options, RULES[rules or rules_for(recorded.instruction)]),
        steps_per_sample=recorded.steps_per_frame,
        pictures=recorded.pictures,
    )


def thin_out(labelled: Labelled, stride: int, cameras: tuple[str, ...]) -> Episode:
    """The samples `stride` steps apart, and the one at which success showed."""
    motion, labels = labelled.motion, labelled.labels
    kept = np.arange(0, motion.num_samples, max(1, stride // labelled.steps_per_sample))
    success_at = motion.success_at
    if success_at is not None:
        kept = np.union1d(kept, success_at)
    return Episode(
        name=labelled.name,
        instruction=labelled.instruction,
        success=success_at is not None,
        held_out=is_held_out(labelled.start),
        is_published=f"/{StateSource.PUBLISHED.value}-" in labelled.start,
        frames=labelled.pictures(cameras)[kept],
        steps=kept * labelled.steps_per_sample,
        success_at=None if success_at is None else success_at * labelled.steps_per_sample,
        step=labels.step[kept],
        done=labels.done[kept],
        progress=labels.progress[kept],
    )


def is_held_out(start: str) -> bool:
    return zlib.crc32(start.encode()) % HELD_OUT_EVERY == 0
