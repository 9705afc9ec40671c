"""What the learner says of the moments of recorded episodes, on a real micro policy."""

from dataclasses import replace

import numpy as np
import pytest

from core.config import AdvantageKind, Config
from core.types import RewardScores
from learner.build import build_learner
from tests.learner.trajectories import make_chunks


@pytest.mark.parametrize("kind", [AdvantageKind.GAE, AdvantageKind.GRPO])
def test_recorded_chunks_come_back_with_value_entropy_and_score(config: Config, kind: AdvantageKind) -> None:
    config.advantage.kind = kind
    learner = build_learner(config)
    first, *others = [chunk for chunk in make_chunks(learner) if chunk.ends_episode]
    recorded = replace(first, recorded=True)
    scores = np.linspace(0, 1, first.num_decisions + 1, dtype=np.float32)
    said = RewardScores(chunk_id=first.id, scores=scores, model_version="test")
    (moments,) = learner.update([recorded, *others], {first.id: said}).moments
    assert (moments["episode"], moments["chunk"]) == (first.episode_id, first.index)
    assert len(moments["entropy"]) == first.num_decisions
    assert all(0 < entropy <= np.log(256) + 1e-3 for entropy in moments["entropy"])
    assert moments["rprm_score"] == pytest.approx(scores[:-1], abs=1e-4)
    assert ("value" in moments) == (kind is AdvantageKind.GAE)
