"""What a batch holds: a success and a failure of each task, and the right pairs of frames."""

import numpy as np
import pytest

from reward.batches import FRAMES_PER_EPISODE, MIN_GAP, BatchSource
from tests.reward.episodes import toy_episode

SUCCESS, FAILURE = toy_episode(success=True, number=1), toy_episode(success=False, number=2)


def test_each_task_brings_a_success_and_a_failure_with_yes_and_no() -> None:
    batch = BatchSource([SUCCESS, FAILURE]).draw(np.random.default_rng(0), num_tasks=3)
    assert len(batch.frames) == 3 * 2 * FRAMES_PER_EPISODE
    for task in range(3):
        rows = slice(task * 2 * FRAMES_PER_EPISODE, (task + 1) * 2 * FRAMES_PER_EPISODE)
        assert (batch.step[rows] == 1).any()
        assert (batch.done[rows] == 1).any()
        assert (batch.done[rows] == 0).sum() >= FRAMES_PER_EPISODE


def test_pairs_are_ordered_in_time_and_by_outcome() -> None:
    """Toy frames show their own sample's number; failures' numbers begin at 100."""
    batch = BatchSource([SUCCESS, FAILURE]).draw(np.random.default_rng(1), num_tasks=4)
    shown = batch.frames[:, 0, 0, 0].astype(int)
    assert len(batch.better) > 0
    for better, worse in zip(batch.better, batch.worse, strict=True):
        assert shown[better] < 100  # a frame of a failure is never the better one
        if shown[worse] < 100:
            at = SUCCESS.success_at
            assert at is not None
            assert min(shown[better], at) - min(shown[worse], at) >= MIN_GAP
        else:
            assert batch.done[better] == 1


def test_a_task_without_failures_shows_two_successes() -> None:
    batch = BatchSource([SUCCESS]).draw(np.random.default_rng(0), num_tasks=1)
    assert len(batch.frames) == 2 * FRAMES_PER_EPISODE


def test_without_any_success_there_is_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="no task with a successful episode"):
        BatchSource([FAILURE])
