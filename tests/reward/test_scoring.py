"""Scores of chunks: one per frame, whatever the batches, with the model's version; only of views that fit."""

from pathlib import Path

import numpy as np
import pytest

from core.types import Start, StateSource, TaskId, TrajectoryChunk
from policy.presets import make_tiny
from reward.checkpoint import Backend, Description, RewardModel, load_reward_model
from reward.model import ScoreWeights
from reward.native import NativeNetwork
from reward.scoring import Scorer

VIEW = (64, 128, 3)
"""Of the tiny family: two cameras side by side."""
NUM = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    folder = tmp_path_factory.mktemp("rprm")
    make_tiny(folder / "start", "micro")
    NativeNetwork(folder / "start").save(folder)
    Description(backend=Backend.NATIVE, base="", weights=ScoreWeights(), training={}).write(folder)
    return load_reward_model(folder)


def make_chunk(*, terminated: bool, view: tuple[int, int, int] = VIEW) -> TrajectoryChunk:
    frames = np.random.default_rng(0).integers(0, 256, (NUM + 1, *view), dtype=np.uint8)
    return TrajectoryChunk(
        id="e/0",
        episode_id="e",
        index=0,
        env_id=0,
        start=Start(task=TaskId(suite="libero_spatial", index=0), source=StateSource.FRESH, number=1),
        instruction="pick up the black bowl and place it on the plate",
        frames=frames[:NUM],
        tokens=np.zeros((NUM, 7), np.int32),
        logprobs=np.zeros((NUM, 7), np.float32),
        versions=np.zeros(NUM, np.int64),
        rewards=np.zeros(NUM, np.float32),
        terminated=terminated,
        truncated=not terminated,
        bootstrap_frame=None if terminated else frames[NUM],
    )


@pytest.mark.parametrize("terminated", [True, False])
def test_one_score_per_frame_whatever_the_batch(model: RewardModel, terminated: bool) -> None:
    chunk = make_chunk(terminated=terminated)
    whole = Scorer(model, policy_view=VIEW, batch_size=64).score(chunk)
    parts = Scorer(model, policy_view=VIEW, batch_size=2).score(chunk)
    assert whole.scores.shape == (NUM + 1,)
    assert (whole.chunk_id, whole.model_version) == (chunk.id, model.version)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)
    assert ((whole.scores[:NUM] > 0) & (whole.scores[:NUM] < 1)).all()
    assert (whole.scores[NUM] == 0) == terminated


def test_further_cameras_of_the_policy_do_not_matter(model: RewardModel) -> None:
    three = make_chunk(terminated=True, view=(64, 192, 3))
    scores = Scorer(model, policy_view=(64, 192, 3), batch_size=8).score(three).scores[:NUM]
    views = np.ascontiguousarray(three.frames[:, :, :128])
    np.testing.assert_allclose(scores, model.score(views, [three.instruction] * NUM, 8), atol=1e-6)


@pytest.mark.parametrize("view", [(224, 224, 3), (64, 64, 3)])
def test_another_view_is_refused(model: RewardModel, view: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="the reward model looks at views of 64 x 128"):
        Scorer(model, policy_view=view, batch_size=8)


def test_the_version_tells_weights_apart(model: RewardModel, tmp_path: Path) -> None:
    for seed, folder in enumerate((tmp_path / "a", tmp_path / "b")):
        make_tiny(folder / "start", "micro", seed=seed)
        NativeNetwork(folder / "start").save(folder)
        Description(backend=Backend.NATIVE, base="", weights=ScoreWeights(), training={}).write(folder)
    a, b = load_reward_model(tmp_path / "a"), load_reward_model(tmp_path / "b")
    assert a.version == model.version  # the same seed
    assert a.version != b.version
