"""Reward shaping: what the process reward model's scores add to the environment's own reward. Pure numpy.

In: one chunk's rewards r_T and the scores Φ of its T frames and of the frame after (zero where nothing
follows it: after a success, and after a time limit that counts as the end). Out: shaped rewards. With
`scale` < 1/2 no shaping outweighs one success.
Shape letters: T decisions of one chunk.
"""

from dataclasses import dataclass

import numpy as np

from core.config import Shaping
from core.types import RewardScores, TrajectoryChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedRewards:
    """A learner's reward function. A chunk without scores is paid the environment's reward alone."""

    shaping: Shaping
    scale: float
    gamma: float
    max_decisions: int
    """Of the longest episode."""
    time_limit_ends: bool
    """Nothing is worth anything after the time limit: no value is taken from the frame that follows it."""

    def __call__(self, chunk: TrajectoryChunk, scores: RewardScores | None) -> np.ndarray:
        if scores is None:
            return chunk.rewards
        return shaped_rewards(
            chunk,
            scores,
            shaping=self.shaping,
            scale=self.scale,
            gamma=self.gamma,
            max_decisions=self.max_decisions,
            time_limit_ends=self.time_limit_ends,
        )


def shaped_rewards(
    chunk: TrajectoryChunk,
    scores: RewardScores,
    *,
    shaping: Shaping,
    scale: float,
    gamma: float,
    max_decisions: int,
    time_limit_ends: bool = False,
) -> np.ndarray:
    """(T,) rewards of the chunk with the chosen shaping added."""
    assert scores.chunk_id == chunk.id
    assert scores.scores.shape == (chunk.num_decisions + 1,)
    scores_T1 = np.clip(scores.scores.astype(np.float64), 0.0, 1.0)
    if chunk.terminated or (chunk.truncated and time_limit_ends):
        scores_T1[-1] = 0.0
    match shaping:
        case Shaping.NONE:
            return chunk.rewards.astype(np.float64)
        case Shaping.POTENTIAL:
            return chunk.rewards + potential(scores_T1, scale=scale, gamma=gamma)
        case Shaping.ADDITIVE:
            return chunk.rewards + additive(scores_T1, scale=scale, max_decisions=max_decisions)


def potential(scores_T1: np.ndarray, *, scale: float, gamma: float) -> np.ndarray:
    """F_t = scale (γ Φ_{t+1} - Φ_t)  (Ng, Harada, Russell 1999).

    The discounted sum over an episode telescopes to scale (γ^T Φ_T - Φ_0): whatever happens in between, only
    the start counts once Φ_T = 0, so the best policy stays the best. Standing still costs scale (1 - γ) Φ.
    """
    return scale * (gamma * scores_T1[1:] - scores_T1[:-1])


def additive(scores_T1: np.ndarray, *, scale: float, max_decisions: int) -> np.ndarray:
    """F_t = scale Φ_t / max_decisions: the paper's added score, bounded by `scale` over the longest episode.

    It pays for every decision spent at a good frame, so a robot that stalls there collects up to `scale`.
    """
    assert max_decisions > 0
    return scale * scores_T1[:-1] / max_decisions
