"""What was thought of each decision of an episode that is kept as a video, to be shown beside it.

In: a batch, what the model said of it before the update, the reward model's scores. Out: plain JSON for
each chunk.
"""

from typing import Any

import numpy as np

from core.config import AdvantageKind
from core.types import RewardScores, TrajectoryChunk
from learner.batch import Batch
from learner.targets import Proximal


def moments(
    batch: Batch, proximal: Proximal, scores: dict[str, RewardScores], kind: AdvantageKind
) -> list[dict[str, Any]]:
    """One entry per chunk of a recorded episode; lists are as long as the chunk has decisions."""
    return [
        {
            "episode": chunk.episode_id,
            "chunk": chunk.index,
            **_thoughts(batch.decisions_of(number), proximal, kind),
            **_scores(chunk, scores.get(chunk.id)),
        }
        for number, chunk in enumerate(batch.chunks)
        if chunk.recorded
    ]


def _thoughts(decisions: slice, proximal: Proximal, kind: AdvantageKind) -> dict[str, list[float]]:
    thoughts = {"entropy": _rounded(proximal.entropies[decisions])}
    if kind is AdvantageKind.GAE:  # else there is no critic
        thoughts["value"] = _rounded(proximal.values[decisions])
    return thoughts


def _scores(chunk: TrajectoryChunk, scores: RewardScores | None) -> dict[str, list[float]]:
    return {} if scores is None else {"rprm_score": _rounded(scores.scores[: chunk.num_decisions])}


def _rounded(values: np.ndarray) -> list[float]:
    """Four digits after the point; what is not finite becomes zero, which JSON can say."""
    return [round(float(value), 4) for value in np.nan_to_num(values, posinf=0.0, neginf=0.0)]
