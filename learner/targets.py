"""Targets of an update: which decisions to train on, with what advantage, towards what value.

In: the batch and what the model said of it before the first epoch. Out: rows, advantages and returns.
Shape letters: V views of the update, A action tokens, E episodes, P patches, C features.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from core.config import AdvantageConfig, AdvantageKind
from core.types import TrajectoryChunk
from learner.advantages import (
    generalized_advantages,
    grpo_advantages,
    informative,
    normalize,
    rloo_advantages,
    values_with_bootstrap,
)
from learner.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Proximal:
    """The policy and the critic as they were before the first epoch, at every view."""

    logprobs: np.ndarray
    """(V, A)."""
    values: np.ndarray
    """(V,)."""
    reference: np.ndarray
    """(V, A) log-probabilities under the starting policy; zeros where no penalty asks for them."""
    entropies: np.ndarray
    """(V,) nats per token."""
    features: Tensor | None
    """(V, P, C) of the vision backbone, where it is not trained and this rank saw every view."""
    seen: np.ndarray
    """(V, D) what a pooled critic reads; of no width where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the epochs train towards. Arrays are over all views; only `rows` of them mean anything."""

    rows: np.ndarray
    """Views to learn from."""
    advantages: np.ndarray
    """(V,)."""
    returns: np.ndarray
    """(V,) what the critic should have said."""
    observed: np.ndarray
    """(V,) discounted rewards that came, after a cut the critic's word: what a pooled critic learns."""
    num_quarantined: int
    """Decisions of chunks that hold a number that is not finite."""
    num_uninformative: int
    """Decisions of groups that all passed or all failed (GRPO and RLOO)."""

    def strongest_rows(self, share: float) -> np.ndarray:
        """The `share` of rows where the advantage, up or down, is largest: what teaches a policy most."""
        number = math.ceil(share * len(self.rows))
        by_strength = np.argsort(-np.abs(self.advantages[self.rows]), kind="stable")
        return np.sort(self.rows[by_strength[:number]])


def make_targets(batch: Batch, proximal: Proximal, config: AdvantageConfig) -> Targets:
    """Advantages over everything that is sound, normalised over all of it at once."""
    sound = [chunk for chunk in range(len(batch.chunks)) if _is_finite(batch, proximal, chunk)]
    kept = sound if config.kind is AdvantageKind.GAE else _informative_chunks(batch, sound)
    advantages_V, returns_V, observed_V = (np.zeros(batch.num_views) for _ in range(3))
    if config.kind is AdvantageKind.GAE:
        _fill_generalized(batch, proximal, kept, config, advantages_V, returns_V, observed_V)
    else:
        _fill_group_relative(batch, kept, config.kind, advantages_V)
    rows = _decision_rows(batch, kept)
    if config.normalize and len(rows):
        advantages_V[rows] = normalize(advantages_V[rows])
    return Targets(
        rows=rows,
        advantages=advantages_V,
        returns=returns_V,
        observed=observed_V,
        num_quarantined=_num_decisions(batch) - len(_decision_rows(batch, sound)),
        num_uninformative=len(_decision_rows(batch, sound)) - len(rows),
    )


def _is_finite(batch: Batch, proximal: Proximal, chunk: int) -> bool:
    """A bad number spoils its whole chunk: a trajectory with a hole has no advantages."""
    views = batch.views_of(chunk)
    arrays = (batch.behaviour_logprobs, proximal.logprobs, proximal.values, proximal.reference)
    return all(np.isfinite(array[views]).all() for array in arrays) and bool(
        np.isfinite(batch.rewards[chunk]).all()
    )


def _fill_generalized(
    batch: Batch,
    proximal: Proximal,
    kept: list[int],
    config: AdvantageConfig,
    advantages_V: np.ndarray,
    returns_V: np.ndarray,
    observed_V: np.ndarray,
) -> None:
    for chunk in kept:
        decisions, views = batch.decisions_of(chunk), batch.views_of(chunk)
        is_over = batch.chunks[chunk].terminated or (
            batch.chunks[chunk].truncated and not config.bootstrap_time_limit
        )
        bootstrap = None if is_over else float(proximal.values[views][-1])
        values_T1 = values_with_bootstrap(proximal.values[decisions], bootstrap)
        advantages_V[decisions], returns_V[decisions] = generalized_advantages(
            batch.rewards[chunk], values_T1, config.gamma, config.lam
        )
        _, observed_V[decisions] = generalized_advantages(batch.rewards[chunk], values_T1, config.gamma, 1.0)


def _fill_group_relative(
    batch: Batch, kept: list[int], kind: AdvantageKind, advantages_V: np.ndarray
) -> None:
    function = grpo_advantages if kind is AdvantageKind.GRPO else rloo_advantages
    advantages_E = function(*_returns_and_groups(batch, kept))
    for chunk, advantage in zip(kept, advantages_E, strict=True):
        advantages_V[batch.decisions_of(chunk)] = advantage


def _informative_chunks(batch: Batch, sound: list[int]) -> list[int]:
    for chunk in sound:
        _check_whole_episode(batch.chunks[chunk])
    keep_E = informative(*_returns_and_groups(batch, sound))
    return [chunk for chunk, keep in zip(sound, keep_E, strict=True) if keep]


def _returns_and_groups(batch: Batch, chunks: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Undiscounted return of each episode, and the start it shares with the others of its group."""
    returns_E = np.array([batch.rewards[chunk].sum() for chunk in chunks])
    groups_E = np.array([str(batch.chunks[chunk].start) for chunk in chunks])
    return returns_E, groups_E


def _check_whole_episode(chunk: TrajectoryChunk) -> None:
    if chunk.index != 0 or not chunk.ends_episode:
        raise ValueError(
            f"chunk {chunk.id} is a piece of an episode, but group-relative advantages compare whole ones; "
            "set buffer.chunk_decisions=0, or advantage.kind=gae"
        )


def _decision_rows(batch: Batch, chunks: list[int]) -> np.ndarray:
    rows = [np.arange(batch.num_views)[batch.decisions_of(chunk)] for chunk in chunks]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)


def _num_decisions(batch: Batch) -> int:
    return sum(chunk.num_decisions for chunk in batch.chunks)
