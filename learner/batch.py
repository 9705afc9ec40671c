"""The batch of an update: trajectory chunks laid out flat, and the order in which they are trained on.

In: sealed chunks and the reward model's scores. Out: flat arrays, model inputs of any rows, seeded orders.
A view is a frame the model looks at: one per decision, and the bootstrap frame of a chunk that did not end in
success.
Shape letters: V views of the update, B views of a forward pass, T decisions of a chunk, A action tokens,
P image patches, C their features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.types import RewardScores, TrajectoryChunk

if TYPE_CHECKING:
    from torch import Tensor

RewardFunction = Callable[[TrajectoryChunk, RewardScores | None], np.ndarray]
"""(T,) rewards to train on, from a chunk and its scores: where reward shaping comes in."""


def environment_rewards(chunk: TrajectoryChunk, scores: RewardScores | None) -> np.ndarray:
    """No shaping: the simulator's own rewards."""
    return chunk.rewards


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """What one forward pass is given."""

    prompts: list[list[int]]
    """B token sequences, not padded."""
    frames: np.ndarray
    """(B, H, W, 3) uint8."""
    tokens: np.ndarray
    """(B, A) action tokens whose log-probabilities are asked for."""
    features: "Tensor | None" = None
    """(B, P, C) what the vision backbone makes of the frames, where that is known already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All views of an update, chunk after chunk; frames stay where the chunks have them."""

    chunks: list[TrajectoryChunk]
    prompts: list[list[int]]
    """Per chunk."""
    rewards: list[np.ndarray]
    """Per chunk: (T,) rewards to train on."""
    offsets: np.ndarray
    """(chunks + 1,) position of each chunk's first view."""
    chunk_of_view: np.ndarray
    """(V,)."""
    tokens: np.ndarray
    """(V, A); a bootstrap view repeats the last decision's, whose log-probabilities nobody reads."""
    behaviour_logprobs: np.ndarray
    """(V, A) from the engine; zero at bootstrap views."""
    clock: np.ndarray
    """(V,) decisions of the view's episode that came before it."""

    @property
    def num_views(self) -> int:
        return len(self.tokens)

    def views_of(self, chunk: int) -> slice:
        """All views of a chunk, the bootstrap view included."""
        return slice(self.offsets[chunk], self.offsets[chunk + 1])

    def decisions_of(self, chunk: int) -> slice:
        """The views of a chunk at which the policy decided."""
        start = self.offsets[chunk]
        return slice(start, start + self.chunks[chunk].num_decisions)

    def inputs(self, views_B: np.ndarray, features_VPC: "Tensor | None" = None) -> ModelInputs:
        """What the model needs to look at these views."""
        chunks_B = self.chunk_of_view[views_B]
        steps_B = views_B - self.offsets[chunks_B]
        return ModelInputs(
            prompts=[self.prompts[chunk] for chunk in chunks_B],
            frames=np.stack([_frame(self.chunks[c], t) for c, t in zip(chunks_B, steps_B, strict=True)]),
            tokens=self.tokens[views_B],
            features=None if features_VPC is None else features_VPC[views_B],
        )


def build_batch(
    chunks: list[TrajectoryChunk],
    scores: dict[str, RewardScores],
    *,
    prompt_ids: Callable[[str], list[int]],
    reward_function: RewardFunction = environment_rewards,
) -> Batch:
    """Lay the chunks out flat, in the order of their ids: the order of arrival must not matter."""
    chunks = sorted(chunks, key=lambda chunk: chunk.id)
    _check_unique(chunks)
    num_views = [chunk.num_decisions + (not chunk.terminated) for chunk in chunks]
    return Batch(
        chunks=chunks,
        prompts=[prompt_ids(chunk.instruction) for chunk in chunks],
        rewards=[_rewards(chunk, scores.get(chunk.id), reward_function) for chunk in chunks],
        offsets=np.concatenate([[0], np.cumsum(num_views)]),
        chunk_of_view=np.repeat(np.arange(len(chunks)), num_views),
        tokens=np.concatenate(
            [_with_bootstrap_row(chunk, chunk.tokens[-1], chunk.tokens) for chunk in chunks]
        ),
        behaviour_logprobs=np.concatenate(
            [
                _with_bootstrap_row(chunk, np.zeros_like(chunk.logprobs[-1]), chunk.logprobs)
                for chunk in chunks
            ]
        ),
        clock=np.concatenate(
            [chunk.first_decision + np.arange(n) for chunk, n in zip(chunks, num_views, strict=True)]
        ),
    )


def minibatches(rows: np.ndarray, size: float, seed: tuple[int, ...]) -> list[np.ndarray]:
    """Rows in a fresh order for every seed (run, update, epoch), cut into parts of about `size`, all alike.

    Equal parts, so that no small rest makes a noisy optimizer step of its own.
    """
    shuffled = np.random.default_rng(seed).permutation(rows)
    return np.array_split(shuffled, max(1, min(round(len(rows) / size), len(rows))))


def microbatches(rows: np.ndarray, weights: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """At most `size` rows and their weights at a time, in order."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size], weights[start : start + size]


def _frame(chunk: TrajectoryChunk, step: int) -> np.ndarray:
    if step < chunk.num_decisions:
        return chunk.frames[step]
    assert chunk.bootstrap_frame is not None
    return chunk.bootstrap_frame


def _with_bootstrap_row(chunk: TrajectoryChunk, row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return rows if chunk.terminated else np.concatenate([rows, row[None]])


def _rewards(chunk: TrajectoryChunk, scores: RewardScores | None, reward: RewardFunction) -> np.ndarray:
    rewards_T = np.asarray(reward(chunk, scores), dtype=np.float64)
    assert rewards_T.shape == (chunk.num_decisions,)
    return rewards_T


def _check_unique(chunks: list[TrajectoryChunk]) -> None:
    ids = [chunk.id for chunk in chunks]
    assert len(set(ids)) == len(ids), "a chunk must never be trained on twice"
