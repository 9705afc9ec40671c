"""Toy episodes: pictures that tell how far the task is, so that a tiny network learns it in seconds."""

import numpy as np

from reward.episodes import Episode
from reward.labels import LabelOptions, gripper_keyframes, make_labels
from tests.reward.motions import pick_and_place

STRIDE, SIZE, NUM_CAMERAS = 4, 128, 2
FAILURE_STALLS_AT = 50


def toy_episode(*, success: bool, number: int, held_out: bool = False) -> Episode:
    """Frame t is as bright as t (a failure: 100 + t in the first pixel), with noise of its own.

    From FAILURE_STALLS_AT on a failure looks as it did then: it never gets bright.
    """
    motion = pick_and_place(success=success)
    labels = make_labels(motion, LabelOptions(), gripper_keyframes)
    kept = np.arange(0, motion.num_samples, STRIDE)
    if success:
        kept = np.union1d(kept, motion.success_at)
    return Episode(
        name=f"toy/{number}",
        instruction="pick up the black bowl and place it on the plate",
        success=success,
        held_out=held_out,
        is_published=False,
        frames=np.stack([_frame(int(t), success=success, number=number) for t in kept]),
        steps=kept,
        success_at=motion.success_at,
        step=labels.step[kept],
        done=labels.done[kept],
        progress=labels.progress[kept],
    )


def _frame(sample: int, *, success: bool, number: int) -> np.ndarray:
    rng = np.random.default_rng((number, sample))
    shown = sample if success else min(sample, FAILURE_STALLS_AT)
    frame = rng.integers(2 * shown, 2 * shown + 20, (SIZE, NUM_CAMERAS * SIZE, 3), dtype=np.uint8)
    frame[0, 0, 0] = sample if success else 100 + sample
    return frame
