"""Losses against arithmetic written out beside them, and against slow loops written from the definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RatioLevel
from learner.losses import (
    clipped_fractions,
    importance_weights,
    kl_estimate,
    log_ratio,
    policy_loss,
    value_clipped,
    value_loss,
)

LOW, HIGH = 0.2, 0.28
ALL = torch.ones(1, dtype=torch.bool)


def loss_of(ratio: float, advantage: float, weight: float = 1.0) -> float:
    """The policy loss of a single ratio."""
    ratio_B1 = torch.tensor([[ratio]], dtype=torch.float64).log()
    advantages = torch.tensor([advantage], dtype=torch.float64)
    return policy_loss(ratio_B1, advantages, torch.full_like(ratio_B1, weight), LOW, HIGH, ALL).item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.1, 2.0, -2.2),  # inside the range: -(1.1 * 2)
        (1.5, 2.0, -2.56),  # a good action, far more likely already: -(1.28 * 2), and no gradient
        (0.5, 2.0, -1.0),  # a good action, less likely: the minimum keeps -(0.5 * 2), so it can come back
        (0.5, -2.0, 1.6),  # a bad action, far less likely already: -(0.8 * -2), and no gradient
        (1.5, -2.0, 3.0),  # a bad action, more likely: the minimum keeps -(1.5 * -2)
    ],
)
def test_clipped_objective_by_hand(ratio: float, advantage: float, loss: float) -> None:
    assert loss_of(ratio, advantage) == pytest.approx(loss, abs=1e-12)
    assert loss_of(ratio, advantage, weight=0.5) == pytest.approx(loss / 2, abs=1e-12)


def test_ratio_of_a_decision_is_the_product_of_its_tokens() -> None:
    new, old = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, -1.0]])
    assert log_ratio(new, old, RatioLevel.TOKEN).tolist() == [[0.5, -1.0]]
    assert log_ratio(new, old, RatioLevel.DECISION).tolist() == [[-0.5]]  # 0.5 - 1.0


def test_importance_weights_are_truncated_above_only() -> None:
    proximal, behaviour = torch.log(torch.tensor([[0.6, 0.1]])), torch.log(torch.tensor([[0.2, 0.4]]))
    # 0.6 / 0.2 = 3, cut at 2; 0.1 / 0.4 = 0.25. Of the decision: 3 * 0.25 = 0.75.
    token = importance_weights(proximal, behaviour, 2.0, RatioLevel.TOKEN)
    decision = importance_weights(proximal, behaviour, 2.0, RatioLevel.DECISION)
    torch.testing.assert_close(token, torch.tensor([[2.0, 0.25]]))
    torch.testing.assert_close(decision, torch.tensor([[0.75]]))


def test_value_loss_by_hand() -> None:
    value, old, returns = torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([0.0])
    assert value_loss(value, old, returns, 0.0, ALL).item() == pytest.approx(0.5)  # (1 - 0)^2 / 2
    # Kept within 0.2 of 0.5 it would be 0.7, an error of 0.49; the worse of 1 and 0.49 counts.
    assert value_loss(value, old, returns, 0.2, ALL).item() == pytest.approx(0.5)
    # Towards 2, 0.7 is the worse: (0.7 - 2)^2 / 2 = 0.845, and it has no gradient.
    assert value_loss(value, old, torch.tensor([2.0]), 0.2, ALL).item() == pytest.approx(0.845)
    assert value_clipped(value, old, 0.2).item() == 1.0
    assert value_clipped(value, old, 0.6).item() == 0.0
    assert value_clipped(value, old, 0.0).item() == 0.0


def test_kl_estimate_by_hand() -> None:
    # x = log 2: (2 - 1) - log 2
    assert kl_estimate(torch.tensor([[math.log(2.0)]])).item() == pytest.approx(1 - math.log(2), abs=1e-6)
    assert kl_estimate(torch.zeros(1, 1)).item() == 0.0


def test_kl_estimate_has_the_right_mean() -> None:
    """Over samples of q, k3 averages to the exact KL(q || p) of two categorical distributions."""
    q, p = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
    exact = (q * (q / p).log()).sum()
    estimated = (q * kl_estimate((p / q).log()[None])[0]).sum()
    torch.testing.assert_close(estimated, exact)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31), st.sampled_from(RatioLevel))
def test_losses_equal_their_definitions(size: int, tokens: int, seed: int, level: RatioLevel) -> None:
    """The whole pipeline against plain Python floats in loops."""
    rng = np.random.default_rng(seed)
    new, proximal, behaviour = rng.normal(-2, 0.5, (3, size, tokens))
    advantages = rng.normal(size=size)
    tensors = [torch.from_numpy(array) for array in (new, proximal, behaviour)]
    ratio = log_ratio(tensors[0], tensors[1], level)
    weights = importance_weights(tensors[1], tensors[2], 2.0, level)
    everywhere = torch.ones(size, dtype=torch.bool)
    loss = policy_loss(ratio, torch.from_numpy(advantages), weights, LOW, HIGH, everywhere)
    low, high = clipped_fractions(ratio, torch.from_numpy(advantages), LOW, HIGH)
    for b in range(size):
        units = [[a] for a in range(tokens)] if level is RatioLevel.TOKEN else [list(range(tokens))]
        terms, num_low, num_high = [], 0, 0
        for unit in units:
            r = math.exp(sum(new[b, a] - proximal[b, a] for a in unit))
            w = min(math.exp(sum(proximal[b, a] - behaviour[b, a] for a in unit)), 2.0)
            clipped = min(max(r, 1 - LOW), 1 + HIGH)
            terms.append(-w * min(r * advantages[b], clipped * advantages[b]))
            num_low += r < 1 - LOW and advantages[b] < 0
            num_high += r > 1 + HIGH and advantages[b] > 0
        assert loss[b].item() == pytest.approx(sum(terms) / len(terms), abs=1e-6)
        assert low[b].item() == pytest.approx(num_low / len(units), abs=1e-6)
        assert high[b].item() == pytest.approx(num_high / len(units), abs=1e-6)


@settings(deadline=None)
@given(st.floats(-100, 100), st.floats(-5, 5))
def test_no_ratio_overflows(log: float, advantage: float) -> None:
    ratio = torch.tensor([[log]], requires_grad=True)
    loss = policy_loss(ratio, torch.tensor([advantage]), torch.ones(1, 1), LOW, HIGH, ALL)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(ratio.grad).all()
