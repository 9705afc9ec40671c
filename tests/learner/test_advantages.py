"""Advantages against arithmetic written out beside them, and against slow loops made from the definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.advantages import (
    explained_variance,
    generalized_advantages,
    grpo_advantages,
    informative,
    normalize,
    rloo_advantages,
    values_with_bootstrap,
)

numbers = st.floats(-10, 10)
rates = st.floats(0, 1)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Rewards and values of one chunk."""
    length = draw(st.integers(1, 12))
    return (
        np.array(draw(st.lists(numbers, min_size=length, max_size=length))),
        np.array(draw(st.lists(numbers, min_size=length + 1, max_size=length + 1))),
    )


@st.composite
def grouped_returns(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(1, 12))
    returns = draw(st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=size, max_size=size))
    groups = draw(st.lists(st.sampled_from("abc"), min_size=size, max_size=size))
    return np.array(returns), np.array(groups)


def slow_advantages(rewards: np.ndarray, values: np.ndarray, gamma: float, lam: float) -> list[float]:
    """A_t = sum_l (gamma lam)^l delta_{t+l}: the sum as the paper defines it, without the recursion."""
    advantages = []
    for t in range(len(rewards)):
        total = 0.0
        for later in range(t, len(rewards)):
            delta = rewards[later] + gamma * values[later + 1] - values[later]
            total += (gamma * lam) ** (later - t) * delta
        advantages.append(total)
    return advantages


def test_gae_of_a_success_by_hand() -> None:
    values = values_with_bootstrap(np.array([0.5, 0.6, 0.8]), bootstrap_value=None)
    advantages, returns = generalized_advantages(np.array([0.0, 0.0, 1.0]), values, gamma=0.9, lam=0.5)
    # delta_2 = 1 + 0.9 * 0   - 0.8 =  0.2        A_2 = 0.2
    # delta_1 = 0 + 0.9 * 0.8 - 0.6 =  0.12       A_1 = 0.12 + 0.45 * 0.2  = 0.21
    # delta_0 = 0 + 0.9 * 0.6 - 0.5 =  0.04       A_0 = 0.04 + 0.45 * 0.21 = 0.1345
    np.testing.assert_allclose(advantages, [0.1345, 0.21, 0.2], atol=1e-12)
    np.testing.assert_allclose(returns, [0.6345, 0.81, 1.0], atol=1e-12)


def test_gae_of_a_time_limit_by_hand() -> None:
    values = values_with_bootstrap(np.array([0.5, 0.6]), bootstrap_value=0.7)
    advantages, returns = generalized_advantages(np.array([0.0, 0.0]), values, gamma=0.9, lam=0.5)
    # delta_1 = 0 + 0.9 * 0.7 - 0.6 = 0.03        A_1 = 0.03
    # delta_0 = 0 + 0.9 * 0.6 - 0.5 = 0.04        A_0 = 0.04 + 0.45 * 0.03 = 0.0535
    np.testing.assert_allclose(advantages, [0.0535, 0.03], atol=1e-12)
    np.testing.assert_allclose(returns, [0.5535, 0.63], atol=1e-12)


@settings(deadline=None)
@given(chunks(), rates, rates)
def test_gae_equals_its_definition(chunk: tuple[np.ndarray, np.ndarray], gamma: float, lam: float) -> None:
    rewards, values = chunk
    advantages, returns = generalized_advantages(rewards, values, gamma, lam)
    np.testing.assert_allclose(advantages, slow_advantages(rewards, values, gamma, lam), atol=1e-6)
    np.testing.assert_allclose(returns - values[:-1], advantages, atol=1e-6)


@settings(deadline=None)
@given(chunks(), rates)
def test_lambda_one_is_the_discounted_return(chunk: tuple[np.ndarray, np.ndarray], gamma: float) -> None:
    rewards, values = chunk
    _, returns = generalized_advantages(rewards, values, gamma, lam=1.0)
    discounted = values[-1]
    for reward in reversed(rewards):
        discounted = reward + gamma * discounted
    assert returns[0] == pytest.approx(discounted, abs=1e-6)


@settings(deadline=None)
@given(chunks(), rates, rates, st.data())
def test_a_chunk_cut_in_two_bootstraps_what_it_lost(
    chunk: tuple[np.ndarray, np.ndarray], gamma: float, lam: float, data: st.DataObject
) -> None:
    """Where the second half's first advantage is zero, cutting there changes nothing."""
    rewards, values = chunk
    cut = data.draw(st.integers(0, len(rewards) - 1))
    tail, _ = generalized_advantages(rewards[cut:], values[cut:], gamma, lam)
    rewards = rewards.copy()
    rewards[cut] -= tail[0]
    whole, _ = generalized_advantages(rewards, values, gamma, lam)
    if cut:
        head, _ = generalized_advantages(rewards[:cut], values[: cut + 1], gamma, lam)
        np.testing.assert_allclose(whole[:cut], head, atol=1e-6)
    assert whole[cut] == pytest.approx(0, abs=1e-6)


def test_group_relative_by_hand() -> None:
    returns = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    groups = np.array(["a", "a", "a", "a", "b", "c"])
    # Group a: mean 0.5, std 0.5, so GRPO gives (1 - 0.5) / 0.5 = 1 and -1. b and c have one member each.
    np.testing.assert_allclose(grpo_advantages(returns, groups), [1, -1, -1, 1, 0, 0])
    # RLOO: a success has others 0, 0, 1, mean 1/3: 1 - 1/3 = 2/3. A failure has 1, 0, 1: 0 - 2/3.
    np.testing.assert_allclose(rloo_advantages(returns, groups), [2 / 3, -2 / 3, -2 / 3, 2 / 3, 0, 0])
    np.testing.assert_array_equal(informative(returns, groups), [True] * 4 + [False] * 2)


@settings(deadline=None)
@given(grouped_returns())
def test_group_relative_equals_its_definition(case: tuple[np.ndarray, np.ndarray]) -> None:
    returns, groups = case
    grpo, rloo, keep = (f(returns, groups) for f in (grpo_advantages, rloo_advantages, informative))
    for i, group in enumerate(groups):
        mine = [returns[j] for j in range(len(returns)) if groups[j] == group]
        others = [returns[j] for j in range(len(returns)) if groups[j] == group and j != i]
        assert rloo[i] == pytest.approx(returns[i] - sum(others) / len(others) if others else 0, abs=1e-6)
        mean = sum(mine) / len(mine)
        std = (sum((x - mean) ** 2 for x in mine) / len(mine)) ** 0.5
        assert grpo[i] == pytest.approx((returns[i] - mean) / std if std > 1e-9 else 0, abs=1e-6)
        assert keep[i] == (len(set(mine)) > 1)


def test_normalize_and_explained_variance_by_hand() -> None:
    # mean 2, deviations -1, 0, 1, std sqrt(2/3)
    np.testing.assert_allclose(normalize(np.array([1.0, 2.0, 3.0])), np.array([-1, 0, 1]) / (2 / 3) ** 0.5)
    returns = np.array([0.0, 1.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.array([3.0, 3.0]), returns) == 0.0
    # errors 0.25, -0.25: variance 0.0625 of 0.25
    assert explained_variance(np.array([0.25, 0.75]) - 0.5, returns) == pytest.approx(0.75)
    assert explained_variance(returns, np.ones(2)) == 0.0
