"""Scores of chunks: one per frame, whatever the batches, with the model's version; only of views that fit."""

from pathlib import Path

import numpy as np
import pytest

from core.types import TrajectoryChunk
from policy.presets import make_tiny
from reward.checkpoint import Backend, Description, RewardModel, load_reward_model
from reward.model import ScoreWeights
from reward.native import NativeNetwork
from reward.scoring import Scorer
from tests.reward.chunks import make_chunk

VIEW = (64, 128, 3)
"""Of the tiny family: two cameras side by side."""
NUM = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    folder = tmp_path_factory.mktemp("rprm")
    make_tiny(folder / "start", "micro")
    NativeNetwork(folder / "start").save(folder)
    Description(backend=Backend.NATIVE, base="", view_of="", weights=ScoreWeights(), training={}).write(
        folder
    )
    return load_reward_model(folder)


def noise(*, terminated: bool, view: tuple[int, int, int] = VIEW) -> TrajectoryChunk:
    frames = np.random.default_rng(0).integers(0, 256, (NUM + 1, *view), dtype=np.uint8)
    return make_chunk(frames, [0.0] * NUM, terminated=terminated)


@pytest.mark.parametrize("terminated", [True, False])
def test_one_score_per_frame_whatever_the_batch(model: RewardModel, terminated: bool) -> None:
    chunk = noise(terminated=terminated)
    whole = Scorer(model, policy_view=VIEW, batch_size=64).score(chunk)
    parts = Scorer(model, policy_view=VIEW, batch_size=2).score(chunk)
    assert whole.scores.shape == (NUM + 1,)
    assert (whole.chunk_id, whole.model_version) == (chunk.id, model.version)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)
    assert ((whole.scores[:NUM] > 0) & (whole.scores[:NUM] < 1)).all()
    assert (whole.scores[NUM] == 0) == terminated


def test_further_cameras_of_the_policy_do_not_matter(model: RewardModel) -> None:
    three = noise(terminated=True, view=(64, 192, 3))
    scores = Scorer(model, policy_view=(64, 192, 3), batch_size=8).score(three).scores[:NUM]
    views = np.ascontiguousarray(three.frames[:, :, :128])
    np.testing.assert_allclose(scores, model.score(views, [three.instruction] * NUM, 8), atol=1e-6)


@pytest.mark.parametrize("view", [(224, 224, 3), (64, 64, 3)])
def test_another_view_is_refused(model: RewardModel, view: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="the reward model looks at views of 64 x 128"):
        Scorer(model, policy_view=view, batch_size=8)


def test_the_version_tells_models_apart(model: RewardModel, tmp_path: Path) -> None:
    """By the network's weights, and by how its answers are weighed."""

    def version(name: str, seed: int, weights: ScoreWeights) -> str:
        folder = tmp_path / name
        make_tiny(folder / "start", "micro", seed=seed)
        NativeNetwork(folder / "start").save(folder)
        Description(backend=Backend.NATIVE, base="", view_of="", weights=weights, training={}).write(folder)
        return load_reward_model(folder).version

    assert version("same", 0, ScoreWeights()) == model.version
    assert version("network", 1, ScoreWeights()) != model.version
    assert version("score", 0, ScoreWeights(step=0.0, done=0.5)) != model.version
