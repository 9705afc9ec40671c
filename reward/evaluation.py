"""How good a reward model is, on episodes it was not trained on.

In: episodes and the scores of their frames. Out: a `Quality`: does the score rise along successes, and
does it tell successes from failures at their ends?

A high order correlation alone misleads: a robot that stalls scores well, too. So ends are always judged.
Shape letters: N frames of an episode, S successes, F failures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from reward.checkpoint import RewardModel
from reward.episodes import Episode

BATCH_SIZE = 64
FALSE_ALARM = 0.5
"""A failure whose last frame scores more is a false alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Figures of one model on one set of episodes; NaN where a kind of episode is missing."""

    value_order: float
    """Spearman correlation of score and time within a success (VOC), mean over successes."""
    kendall_tau: float
    """Kendall's tau of the same, which punishes every swapped pair."""
    success_final: float
    """Mean score of the first frame that shows success."""
    failure_final: float
    """Mean score of a failure's last frame."""
    final_auc: float
    """Chance that a success's last frame scores above a failure's."""
    false_alarms: float
    """Share of failures whose last frame scores above one half."""
    num_successes: int
    num_failures: int

    @property
    def gap(self) -> float:
        return self.success_final - self.failure_final

    @property
    def summary(self) -> float:
        """One figure to choose the best of several models by."""
        parts = [self.value_order, self.kendall_tau, self.final_auc, self.gap, 1 - self.false_alarms]
        return float(np.nanmean(parts))

    def to_json(self) -> dict[str, float]:
        return asdict(self) | {"gap": self.gap}


def judge(model: RewardModel, episodes: Sequence[Episode]) -> Quality:
    """Score every episode up to its end as a run sees it, then compare."""
    return quality([(episode.success, score_episode(model, episode)) for episode in episodes])


def score_episode(model: RewardModel, episode: Episode) -> np.ndarray:
    """(N,) scores up to the first frame that shows success."""
    views = model.network.views(episode.frames[: episode.until_success], None)
    return model.score(views, [episode.instruction] * len(views), BATCH_SIZE)


def quality(scored: Sequence[tuple[bool, np.ndarray]]) -> Quality:
    """From (success, scores in the order of time) of every episode."""
    successes = [scores for success, scores in scored if success]
    failures = [scores for success, scores in scored if not success]
    finals_S = np.array([scores[-1] for scores in successes])
    finals_F = np.array([scores[-1] for scores in failures])
    return Quality(
        value_order=_mean([_order(spearmanr, scores) for scores in successes]),
        kendall_tau=_mean([_order(kendalltau, scores) for scores in successes]),
        success_final=_mean(finals_S),
        failure_final=_mean(finals_F),
        final_auc=auc(finals_S, finals_F),
        false_alarms=_mean(finals_F > FALSE_ALARM),
        num_successes=len(successes),
        num_failures=len(failures),
    )


def auc(positives_S: np.ndarray, negatives_F: np.ndarray) -> float:
    """Area under the ROC curve: share of pairs in the right order, ties counting half."""
    if not len(positives_S) or not len(negatives_F):
        return float("nan")
    difference = positives_S[:, None] - negatives_F[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def _order(statistic: object, scores_N: np.ndarray) -> float:
    """Rank correlation with time; scores that never change have no order at all."""
    assert callable(statistic)
    if len(scores_N) < 2 or np.ptp(scores_N) == 0:
        return 0.0
    return float(statistic(np.arange(len(scores_N)), scores_N).statistic)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
