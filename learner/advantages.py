"""Advantages: from the rewards and values of trajectories to one number per decision. Pure numpy, float64.

In: per chunk rewards r_T and values V of T + 1 frames; or per episode one return and the group it belongs to.
Out: advantages, and for the critic the returns it should have predicted.
Shape letters: T decisions of one chunk, N decisions of a whole update, E episodes.
"""

import numpy as np


def values_with_bootstrap(values_T: np.ndarray, bootstrap_value: float | None) -> np.ndarray:
    """(T + 1,) values, the last one being worth zero when the chunk terminated (`bootstrap_value` None).

    Success ends the task, so nothing is lost after it. A time limit only ends our watching: the value of
    the frame after the last decision stands for the rewards that were never seen.
    """
    return np.append(values_T, 0.0 if bootstrap_value is None else bootstrap_value).astype(np.float64)


def generalized_advantages(
    rewards_T: np.ndarray, values_T1: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """GAE (Schulman et al. 2016) of one chunk: advantages_T and returns_T = advantages_T + values_T.

    delta_t = r_t + gamma V_{t+1} - V_t
    A_t     = delta_t + gamma lam A_{t+1},  A_T = 0
    """
    assert rewards_T.ndim == 1
    assert values_T1.shape == (len(rewards_T) + 1,)
    deltas_T = rewards_T + gamma * values_T1[1:] - values_T1[:-1]
    advantages_T = np.zeros(len(rewards_T))
    following = 0.0
    for t in reversed(range(len(rewards_T))):
        following = deltas_T[t] + gamma * lam * following
        advantages_T[t] = following
    return advantages_T, advantages_T + values_T1[:-1]


def grpo_advantages(returns_E: np.ndarray, groups_E: np.ndarray) -> np.ndarray:
    """GRPO (Shao et al. 2024): A_e = (R_e - mean of its group) / std of its group; zero where std is."""
    advantages_E = np.zeros(len(returns_E))
    for members in _groups(groups_E):
        spread = returns_E[members].std()
        if spread > 0:
            advantages_E[members] = (returns_E[members] - returns_E[members].mean()) / spread
    return advantages_E


def rloo_advantages(returns_E: np.ndarray, groups_E: np.ndarray) -> np.ndarray:
    """RLOO (Ahmadian et al. 2024): A_e = R_e - mean return of the other episodes of its group."""
    advantages_E = np.zeros(len(returns_E))
    for members in _groups(groups_E):
        size = len(members)
        if size > 1:
            advantages_E[members] = (returns_E[members] - returns_E[members].mean()) * size / (size - 1)
    return advantages_E


def informative(returns_E: np.ndarray, groups_E: np.ndarray) -> np.ndarray:
    """Which episodes to keep: a group that all passes or all fails says nothing about what to prefer.

    Such groups are left out rather than trained on with advantage zero, which would dilute every mean.
    """
    keep_E = np.zeros(len(returns_E), dtype=bool)
    for members in _groups(groups_E):
        keep_E[members] = np.ptp(returns_E[members]) > 0
    return keep_E


def normalize(advantages_N: np.ndarray) -> np.ndarray:
    """Zero mean and unit spread over the decisions of all ranks together (never of one rank's share)."""
    centred_N = advantages_N - advantages_N.mean()
    return centred_N / (centred_N.std() + 1e-8)


def explained_variance(predictions_N: np.ndarray, returns_N: np.ndarray) -> float:
    """1 - Var(returns - predictions) / Var(returns): 1 is perfect, 0 no better than a constant."""
    variance = returns_N.var()
    return float(1.0 - (returns_N - predictions_N).var() / variance) if variance > 0 else 0.0


def _groups(groups_E: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(groups_E == group) for group in np.unique(groups_E)]
