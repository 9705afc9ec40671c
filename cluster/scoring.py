"""Scores on their way from the reward model to the learner.

In: sealed chunks, as soon as they are sealed. Out: for the chunks of a batch, their scores once all are
there. The learner waits for scores of the chunks it uses and for no others.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

from core.types import RewardScores


class RewardPart(Protocol):
    """The process reward model, in this process or under Ray. Chunks go by their slots."""

    def ask(self, slot: int, chunk: Any) -> None:
        """Begin to score a sealed chunk (or a reference to it)."""

    def answer(self, slot: int) -> RewardScores | None:
        """Its scores, or None."""

    def is_settled(self, slot: int) -> bool:
        """Whether `answer` is final: scores, or None because there will be none."""

    def forget(self, slot: int) -> None:
        """Nobody will ask again."""


class Scoring:
    """Between buffer and learner. Without a reward model nothing is waited for and nothing is scored."""

    def __init__(self, part: RewardPart | None) -> None:
        self._part = part
        self._waiting_since: float | None = None
        self._clear()

    def _clear(self) -> None:
        self._waited_s = 0.0
        self._num_unscored = 0
        self._scores: list[RewardScores] = []

    @property
    def is_on(self) -> bool:
        """Whether there is a reward model."""
        return self._part is not None

    def sealed(self, slot: int, chunk: Any) -> None:
        """A chunk came in: let it be scored while others are still played."""
        if self._part is not None:
            self._part.ask(slot, chunk)

    def scores_of(self, slots: Sequence[int]) -> dict[str, RewardScores] | None:
        """Scores by chunk id, or None while some are still being made."""
        part = self._part
        if part is None:
            return {}
        if not all(part.is_settled(slot) for slot in slots):
            self._waiting_since = self._waiting_since or time.perf_counter()
            return None
        if self._waiting_since is not None:
            self._waited_s += time.perf_counter() - self._waiting_since
            self._waiting_since = None
        answers = [part.answer(slot) for slot in slots]
        self._scores = [answer for answer in answers if answer is not None]
        self._num_unscored = len(answers) - len(self._scores)
        return {scores.chunk_id: scores for scores in self._scores}

    @property
    def versions(self) -> list[str]:
        """Which reward models made the scores of the batch that was trained on last: more than one after a
        restart with other weights."""
        return sorted({scores.model_version for scores in self._scores})

    def forget(self, slots: Sequence[int]) -> None:
        """These have been trained on, or will never be."""
        if self._part is not None:
            for slot in slots:
                self._part.forget(slot)

    def scalars(self) -> dict[str, float]:
        """Of the batch that was trained on last."""
        if self._part is None:
            return {}
        values = {
            "reward/waited_s": self._waited_s,
            "reward/chunks_unscored": float(self._num_unscored),
        }
        if self._scores:
            means = [float(scores.scores[:-1].mean()) for scores in self._scores]
            values["reward/score"] = sum(means) / len(means)
        self._clear()
        return values
