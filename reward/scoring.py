"""Scores of trajectory chunks, as the training loop asks for them.

In: sealed chunks, whose frames are the policy's view. Out: `RewardScores`, which name the model's version.
"""

import numpy as np

from core.types import RewardScores, TrajectoryChunk
from reward.checkpoint import RewardModel


class Scorer:
    """One reward model that looks at what a policy sees."""

    def __init__(self, model: RewardModel, *, policy_view: tuple[int, int, int], batch_size: int) -> None:
        """`policy_view` is the (H, W, 3) of the frames in chunks."""
        self.version = model.version
        self._model, self._batch_size = model, batch_size
        self._width = _shared_width(model, policy_view)

    def score(self, chunk: TrajectoryChunk) -> RewardScores:
        """One score per decision's frame, then one for the bootstrap frame (0 if there is none)."""
        frames = chunk.frames
        if chunk.bootstrap_frame is not None:
            frames = np.concatenate([frames, chunk.bootstrap_frame[None]])
        views = np.ascontiguousarray(frames[:, :, : self._width])
        scores = self._model.score(views, [chunk.instruction] * len(views), self._batch_size)
        scores_T1 = np.append(scores, 0.0) if chunk.bootstrap_frame is None else scores
        return RewardScores(
            chunk_id=chunk.id, scores=scores_T1.astype(np.float32), model_version=self.version
        )


def _shared_width(model: RewardModel, policy_view: tuple[int, int, int]) -> int:
    """How much of the policy's view the model is shown: its own cameras, which come first."""
    height, width, _ = policy_view
    wanted = model.network.view_shape
    if wanted[0] != height or wanted[1] > width:
        raise ValueError(
            f"the reward model looks at views of {wanted[0]} x {wanted[1]} pixels, this policy's are "
            f"{height} x {width}: train the reward model from a policy folder of the same kind "
            "(vlarl rprm train --start, or --view-of)"
        )
    return wanted[1]
