"""Losses of PPO, per decision and before any mean is taken. Pure functions of torch tensors.

In: log-probabilities of the action tokens under three policies, advantages, values. `behaviour` is the engine
that acted, `proximal` the learner before the update, the current one is being trained.
Out: one loss per decision, so that whoever sums them can divide by the size of the whole minibatch.
Shape letters: B decisions, A action tokens of a decision, X the ratio's level: A for tokens, 1 for decisions.
"""

import torch
from torch import Tensor

from core.config import RatioLevel

MAX_LOG_RATIO = 20.0  # e^20 is far outside every clip range, and neither it nor its gradient overflows


def log_ratio(new_BA: Tensor, old_BA: Tensor, level: RatioLevel) -> Tensor:
    """log pi_new - log pi_old, per token (B, A), or of the whole decision (B, 1): the sum of its tokens'."""
    difference_BA = new_BA - old_BA
    return difference_BA if level is RatioLevel.TOKEN else difference_BA.sum(dim=1, keepdim=True)


def importance_weights(proximal_BA: Tensor, behaviour_BA: Tensor, cap: float, level: RatioLevel) -> Tensor:
    """min(pi_proximal / pi_behaviour, cap): (B, X). Corrects for lag and for the engine's own arithmetic."""
    return safe_exp(log_ratio(proximal_BA, behaviour_BA, level)).clamp(max=cap)


def policy_loss(
    log_ratio_BX: Tensor,
    advantages_B: Tensor,
    weights_BX: Tensor,
    clip_low: float,
    clip_high: float,
    mask_B: Tensor,
) -> Tensor:
    """Decoupled, asymmetrically clipped PPO: -w min(r A, clip(r, 1 - low, 1 + high) A), mean over X.

    Masked decisions lose their ratio before the exponential: masking its result would turn an overflow
    into 0 * inf = NaN in the gradient.
    """
    assert log_ratio_BX.shape == weights_BX.shape
    ratio_BX = safe_exp(log_ratio_BX.masked_fill(~mask_B[:, None], 0.0))
    clipped_BX = ratio_BX.clamp(1.0 - clip_low, 1.0 + clip_high)
    advantages_B1 = advantages_B.masked_fill(~mask_B, 0.0)[:, None]
    objective_BX = torch.minimum(ratio_BX * advantages_B1, clipped_BX * advantages_B1)
    return -(weights_BX * objective_BX).mean(dim=1)


def clipped_fractions(
    log_ratio_BX: Tensor, advantages_B: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """Share of each decision's ratios that stopped learning: (B,) at the low side, (B,) at the high side.

    The low side binds only where the advantage is negative, the high side only where it is positive.
    """
    ratio_BX, advantages_B1 = safe_exp(log_ratio_BX), advantages_B[:, None]
    low_BX = (ratio_BX < 1.0 - clip_low) & (advantages_B1 < 0)
    high_BX = (ratio_BX > 1.0 + clip_high) & (advantages_B1 > 0)
    return low_BX.float().mean(dim=1), high_BX.float().mean(dim=1)


def value_loss(
    values_B: Tensor, old_values_B: Tensor, returns_B: Tensor, clip: float, mask_B: Tensor
) -> Tensor:
    """(V - R)^2 / 2; with `clip` > 0 the worse of that and of V kept within `clip` of its old value."""
    values_B = values_B.masked_fill(~mask_B, 0.0)
    returns_B = returns_B.masked_fill(~mask_B, 0.0)
    error_B = (values_B - returns_B).square()
    if clip > 0:
        old_values_B = old_values_B.masked_fill(~mask_B, 0.0)
        near_B = old_values_B + (values_B - old_values_B).clamp(-clip, clip)
        error_B = torch.maximum(error_B, (near_B - returns_B).square())
    return 0.5 * error_B


def value_clipped(values_B: Tensor, old_values_B: Tensor, clip: float) -> Tensor:
    """1.0 where the new value left the range around the old one; of the values before any clipping."""
    if clip <= 0:
        return torch.zeros_like(values_B)
    return ((values_B - old_values_B).abs() > clip).float()


def kl_estimate(log_ratio_BA: Tensor) -> Tensor:
    """Schulman's k3 = (e^x - 1) - x >= 0, x = log p - log q: KL(q || p) from samples of q. (B, A)."""
    return safe_exp(log_ratio_BA) - 1.0 - log_ratio_BA


def safe_exp(log_BX: Tensor) -> Tensor:
    """e^x with x held within +-20: outside, the gradient is zero instead of infinite."""
    return log_BX.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
