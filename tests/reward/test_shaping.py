"""Shaping against hand-worked numbers, and what must hold for any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import Shaping
from core.types import RewardScores, TrajectoryChunk
from reward.shaping import ShapedRewards, additive, potential, shaped_rewards
from tests.reward.chunks import make_chunk

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=60).map(np.array)
SCALE, GAMMA = 0.2, 0.9


def rewarded(rewards: list[float], *, terminated: bool) -> TrajectoryChunk:
    return make_chunk(np.zeros((len(rewards) + 1, 2, 2, 3), np.uint8), rewards, terminated=terminated)


def shape(chunk: TrajectoryChunk, scores: list[float], shaping: Shaping) -> np.ndarray:
    return shaped_rewards(
        chunk,
        RewardScores(chunk_id="e/0", scores=np.array(scores, np.float32), model_version="1"),
        shaping=shaping,
        scale=SCALE,
        gamma=GAMMA,
        max_decisions=4,
    )


def discounted(rewards: np.ndarray) -> float:
    return float((GAMMA ** np.arange(len(rewards)) * rewards).sum())


def test_potential_by_hand() -> None:
    # 0.2 (0.9·0.5 - 0.1) = 0.07;  0.2 (0.9·1.0 - 0.5) = 0.08
    np.testing.assert_allclose(potential(np.array([0.1, 0.5, 1.0]), scale=0.2, gamma=0.9), [0.07, 0.08])


def test_additive_by_hand() -> None:
    # 0.2·0.1/4 = 0.005;  0.2·0.5/4 = 0.025; the last frame is not a decision's
    np.testing.assert_allclose(
        additive(np.array([0.1, 0.5, 1.0]), scale=0.2, max_decisions=4), [0.005, 0.025]
    )


def test_a_chunk_without_scores_is_paid_the_environments_reward() -> None:
    paid = ShapedRewards(
        shaping=Shaping.POTENTIAL, scale=SCALE, gamma=GAMMA, max_decisions=4, time_limit_ends=False
    )
    chunk = rewarded([0, 1], terminated=True)
    np.testing.assert_array_equal(paid(chunk, None), [0, 1])
    scores = RewardScores(chunk_id="e/0", scores=np.array([0.3, 0.9, 0], np.float32), model_version="1")
    np.testing.assert_allclose(paid(chunk, scores), shape(chunk, [0.3, 0.9, 0.0], Shaping.POTENTIAL))


def test_none_is_the_environments_reward() -> None:
    np.testing.assert_array_equal(
        shape(rewarded([0, 1], terminated=True), [0.3, 0.9, 0.7], Shaping.NONE), [0, 1]
    )


def test_a_score_after_success_counts_nothing() -> None:
    chunk = rewarded([0, 1], terminated=True)
    np.testing.assert_array_equal(
        shape(chunk, [0.3, 0.9, 0.0], Shaping.POTENTIAL), shape(chunk, [0.3, 0.9, 1.0], Shaping.POTENTIAL)
    )


@given(SCORES)
def test_potential_changes_a_solved_episodes_return_by_its_start_only(scores: np.ndarray) -> None:
    rewards = [0.0] * (len(scores) - 2) + [1.0]
    shaped = shape(rewarded(rewards, terminated=True), scores.tolist(), Shaping.POTENTIAL)
    assert discounted(shaped) == pytest.approx(discounted(np.array(rewards)) - SCALE * scores[0], abs=1e-5)


@given(SCORES)
def test_a_time_limit_that_ends_the_episode_leaves_nothing_but_its_start(scores: np.ndarray) -> None:
    paid = ShapedRewards(
        shaping=Shaping.POTENTIAL, scale=SCALE, gamma=GAMMA, max_decisions=4, time_limit_ends=True
    )
    chunk = rewarded([0.0] * (len(scores) - 1), terminated=False)
    shaped = paid(chunk, RewardScores(chunk_id="e/0", scores=scores.astype(np.float32), model_version="1"))
    assert discounted(shaped) == pytest.approx(-SCALE * scores[0], abs=1e-5)


@given(SCORES)
def test_potential_cancels_against_the_shaped_value_at_a_time_limit(scores: np.ndarray) -> None:
    """The exact value of the shaped task is V - scale Φ: bootstrapping from it leaves -scale Φ_0."""
    num, true_value = len(scores) - 1, 0.4
    shaped = shape(rewarded([0.0] * num, terminated=False), scores.tolist(), Shaping.POTENTIAL)
    bootstrapped = discounted(shaped) + GAMMA**num * (true_value - SCALE * scores[-1])
    assert bootstrapped == pytest.approx(GAMMA**num * true_value - SCALE * scores[0], abs=1e-5)


@given(SCORES, SCORES)
def test_success_outweighs_anything_shaping_can_give(good: np.ndarray, bad: np.ndarray) -> None:
    """The worst-scored success earns more than the best-scored failure, under either kind."""
    for shaping in (Shaping.POTENTIAL, Shaping.ADDITIVE):
        success = rewarded([0.0] * (len(bad) - 2) + [1.0], terminated=True)
        failure = rewarded([0.0] * (len(good) - 1), terminated=False)
        limit = max(len(good), len(bad))
        returns = [
            shaped_rewards(
                chunk,
                RewardScores(chunk_id="e/0", scores=scores.astype(np.float32), model_version="1"),
                shaping=shaping,
                scale=SCALE,
                gamma=1.0,
                max_decisions=limit,
            ).sum()
            for chunk, scores in ((success, bad), (failure, good))
        ]
        assert returns[0] > returns[1]


@given(st.floats(0, 1), st.integers(1, 50))
def test_a_stall_at_a_good_frame_gains_nothing(score: float, num: int) -> None:
    chunk = rewarded([0.0] * num, terminated=False)
    assert shape(chunk, [score] * (num + 1), Shaping.POTENTIAL).sum() <= 1e-9
