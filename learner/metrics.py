"""Metrics of an update: names and meanings in one table, and the meter that averages them over all ranks.

In: per-decision values with weights. Out: one number per name, the same on every rank.
"""

from collections.abc import Sequence

import numpy as np

from learner.distributed import Ranks

METRICS = {
    "learner/policy_loss": "clipped PPO objective, negated; mean over decisions and epochs",
    "learner/value_loss": "half the squared error of the critic, clipped where critic.clip asks for it",
    "learner/entropy": "entropy of the 256-way distributions of tokens that are trained on, nats per token",
    "learner/kl": "k3 estimate of KL(policy before the update || policy now), nats per token",
    "learner/kl_reference": "k3 estimate of KL(policy now || starting policy), nats per token",
    "learner/clip_fraction_low": "share of ratios below 1 - clip_low whose advantage is negative",
    "learner/clip_fraction_high": "share of ratios above 1 + clip_high whose advantage is positive",
    "learner/value_clip_fraction": "share of new values further than critic.clip from the old ones",
    "learner/importance_weight": "mean truncated weight between the engine that acted and the learner",
    "learner/importance_capped": "share of those weights that reached importance_cap",
    "learner/grad_norm": "gradient norm before clipping, mean over optimizer steps",
    "learner/lr": "learning rate of the policy, mean over optimizer steps; learner.target_kl lowers it",
    "learner/steps_skipped": "optimizer steps skipped because a gradient was not finite",
    "learner/decisions": "decisions of the update; the policy is trained on learner.train_share of them",
    "learner/decisions_quarantined": "decisions left out because their chunk holds a non-finite number",
    "learner/decisions_uninformative": "decisions left out because their whole group passed or failed",
    "learner/explained_variance": "1 - Var(what came - values) / Var(what came), before the update",
    "learner/value": "mean value the critic gave to the decisions, before the update",
    "learner/return": "mean of the discounted rewards that came, shaping included; beyond a cut the value",
    "learner/lag_mean": "versions between the policy that acted and the one that is updated, mean",
    "learner/lag_max": "the same, maximum",
    "learner/warmup": "1 while the critic trains alone",
    "learner/decisions_per_s": "these decisions per second of the whole update, all epochs together",
    "time/evaluate_s": "seconds for proximal log-probabilities, values and advantages",
    "time/epochs_s": "seconds for all epochs of training",
    "time/update_s": "seconds for the whole update",
}


class Meter:
    """Weighted means and counts, gathered on each rank and put together once at the end."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, float] = {}

    def add(self, name: str, values: Sequence[float] | np.ndarray, weights: np.ndarray | None = None) -> None:
        """Values of this rank; those of weight zero do not count."""
        weights = np.ones(len(values)) if weights is None else weights
        total = np.array([np.dot(values, weights), np.sum(weights)], dtype=np.float64)
        self._sums[name] = self._sums.get(name, np.zeros(2)) + total

    def count(self, name: str, amount: float) -> None:
        """Something that every rank sees alike, such as a skipped step."""
        self._counts[name] = self._counts.get(name, 0.0) + amount

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Means over all ranks, and the counts. Every rank must have added the same names."""
        names = sorted(self._sums)
        totals = ranks.sum(np.array([self._sums[name] for name in names]).reshape(-1, 2))
        means = {name: float(total / count) for name, (total, count) in zip(names, totals, strict=True)}
        return means | self._counts
