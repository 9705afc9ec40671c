"""A chunk of which only pictures, rewards and ending matter."""

import numpy as np

from core.types import Start, StateSource, TaskId, TrajectoryChunk


def make_chunk(frames: np.ndarray, rewards: list[float], *, terminated: bool) -> TrajectoryChunk:
    """One frame a decision, and one of what came after."""
    num = len(rewards)
    assert len(frames) == num + 1
    return TrajectoryChunk(
        id="e/0",
        episode_id="e",
        index=0,
        first_decision=0,
        start=Start(task=TaskId(suite="libero_spatial", index=0), source=StateSource.FRESH, number=1),
        instruction="pick up the black bowl and place it on the plate",
        frames=frames[:num],
        tokens=np.zeros((num, 7), np.int32),
        logprobs=np.zeros((num, 7), np.float32),
        versions=np.zeros(num, np.int64),
        rewards=np.array(rewards, np.float32),
        terminated=terminated,
        truncated=not terminated,
        bootstrap_frame=None if terminated else frames[num],
    )
