"""The learner waits for scores of the chunks it uses, and for no others; none is ever made up."""

from pathlib import Path
from typing import Any

import numpy as np

from cluster.scoring import Scoring
from core.types import RewardScores
from tests.cluster.harness import Harness


class FakeRewardModel:
    """A `RewardPart` that answers when it is told to, or never (`down`)."""

    def __init__(self, *, patience: int = 0, down: bool = False) -> None:
        self.asked: list[Any] = []
        self.wanted: dict[int, int] = {}
        self._patience, self._down = patience, down
        self._chunks: dict[int, Any] = {}

    def ask(self, slot: int, chunk: Any) -> None:
        self.asked.append(slot)
        self._chunks[slot] = chunk

    def is_settled(self, slot: int) -> bool:
        self.wanted[slot] = self.wanted.get(slot, 0) + 1
        return self.wanted[slot] > self._patience

    def answer(self, slot: int) -> RewardScores | None:
        if self._down:
            return None
        chunk = self._chunks[slot]
        scores = np.full(chunk.num_decisions + 1, 0.5, np.float32)
        return RewardScores(chunk_id=chunk.id, scores=scores, model_version="fake")

    def forget(self, slot: int) -> None:
        del self._chunks[slot]


def test_every_update_gets_the_scores_of_its_chunks(tmp_path: Path) -> None:
    model = FakeRewardModel(patience=3)
    harness = Harness(tmp_path, ["run.num_updates=3"], reward_model=model)
    assert harness.controller.run()
    trained = {chunk.id for chunk in harness.learner.trained}
    assert harness.learner.all_scores.keys() == trained
    assert model.wanted.keys() <= set(model.asked)
    assert len(model.wanted) == len(harness.learner.trained)  # waited for none that it did not use
    assert len(model._chunks) == len(model.asked) - len(harness.learner.trained)


def test_a_run_records_which_model_made_its_scores(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=1"], reward_model=FakeRewardModel())
    events: list[dict[str, Any]] = []
    harness.writer.event = lambda kind, **fields: events.append({"kind": kind, **fields})  # type: ignore[method-assign]
    assert harness.controller.run()
    assert [event["reward_models"] for event in events if event["kind"] == "trained"] == [["fake"]]


def test_without_a_reward_model_nothing_is_waited_for() -> None:
    scoring = Scoring(None)
    scoring.sealed(0, None)
    assert scoring.scores_of([0]) == {}
    assert scoring.scalars() == {}


def test_scores_that_are_not_to_be_had_are_counted_not_invented(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=1"], reward_model=FakeRewardModel(down=True))
    lines: list[dict[str, float]] = []
    harness.writer.scalars = lambda update, values: lines.append(values)  # type: ignore[method-assign]
    assert harness.controller.run()
    assert harness.learner.all_scores == {}
    assert lines[0]["reward/chunks_unscored"] == len(harness.learner.trained) > 0
    assert "reward/score" not in lines[0]
