"""The curriculum: weights by hand, preferences as drawn, floor, decay, and a state that goes on exactly."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from cluster.curriculum import Curriculum, SuccessRate, frontier_weights, paper_weights, probabilities
from core.config import CurriculumConfig, CurriculumKind
from core.types import EpisodeOutcome, Start, StateSource, TaskId

EASY, HALF, HARD = (TaskId(suite="libero_spatial", index=index) for index in range(3))


def make(kind: CurriculumKind, source: StateSource = StateSource.FRESH, **values: float) -> Curriculum:
    config = CurriculumConfig(kind=kind, **values)
    return Curriculum(config, {EASY: 5, HALF: 5, HARD: 5}, source, seed=1)


def outcome(start: Start, success: bool) -> EpisodeOutcome:
    return EpisodeOutcome(
        episode_id="e",
        start=start,
        success=success,
        num_steps=10,
        episode_return=float(success),
        min_version=0,
        max_version=0,
    )


def practise(curriculum: Curriculum, rates: dict[TaskId, float]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        for task, rate in rates.items():
            start = Start(task=task, source=StateSource.FRESH, number=0)
            curriculum.record(outcome(start, bool(rng.random() < rate)))


def shares(curriculum: Curriculum, draws: int = 3000) -> dict[TaskId, float]:
    counts = Counter(curriculum.next().task for _ in range(draws))
    return {task: counts[task] / draws for task in (EASY, HALF, HARD)}


def test_frontier_weights_by_hand() -> None:
    # exp(-(0.3^2) / (2 * 0.2^2)) = exp(-1.125)
    np.testing.assert_allclose(
        frontier_weights(np.array([0.5, 0.8, 0.2]), 0.2), [1, np.exp(-1.125), np.exp(-1.125)]
    )


def test_paper_weights_prefer_the_hardest_because_the_constant_cancels() -> None:
    success, temperature = np.array([0.0, 0.5, 1.0]), 0.5
    weights = probabilities(paper_weights(success, temperature), floor=0)
    without_constant = np.exp(-success / temperature)
    np.testing.assert_allclose(weights, without_constant / without_constant.sum())
    assert weights.argmax() == 0


@pytest.mark.parametrize("weigh", [frontier_weights, paper_weights])
def test_a_narrow_preference_leaves_something_to_draw(
    weigh: Callable[[np.ndarray, float], np.ndarray],
) -> None:
    """All far from half: every exponential alone would be zero."""
    weights = probabilities(weigh(np.array([0.97, 0.95]), 0.001), floor=0)
    np.testing.assert_allclose(weights, [0, 1], atol=1e-6)


def test_the_floor_keeps_everything_alive() -> None:
    weights = probabilities(np.array([1.0, 0.0, 0.0, 0.0]), floor=0.2)
    np.testing.assert_allclose(weights, [0.85, 0.05, 0.05, 0.05])


def test_decay_by_hand() -> None:
    rate = SuccessRate()
    for success in (True, False):
        rate.add(success, decay=0.5)
    # successes 0.5 * 1 + 0, weight 0.5 * 1 + 1; with a prior of 0.5 counting once: (0.5 + 0.5) / (1.5 + 1)
    assert rate.estimate(prior=0.5) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("kind", "favourite"), [(CurriculumKind.FRONTIER, HALF), (CurriculumKind.PAPER, HARD)]
)
def test_who_is_practised_most(kind: CurriculumKind, favourite: TaskId) -> None:
    curriculum = make(kind, decay=0.97, floor=0.1)
    practise(curriculum, {EASY: 1.0, HALF: 0.5, HARD: 0.0})
    share = shares(curriculum)
    assert max(share, key=lambda task: share[task]) == favourite
    assert min(share.values()) > 0.1 / 3 * 0.7  # the floor's part, less what 3000 draws may miss


def test_uniform_ignores_outcomes() -> None:
    curriculum = make(CurriculumKind.UNIFORM)
    practise(curriculum, {EASY: 1.0, HALF: 0.5, HARD: 0.0})
    assert all(abs(share - 1 / 3) < 0.04 for share in shares(curriculum).values())


def test_fresh_starts_never_repeat() -> None:
    curriculum = make(CurriculumKind.UNIFORM)
    starts = [curriculum.next() for _ in range(100)]
    assert {start.source for start in starts} == {StateSource.FRESH}
    assert len({start.number for start in starts}) == 100


def test_published_states_are_weighed_one_by_one() -> None:
    curriculum = make(CurriculumKind.FRONTIER, StateSource.PUBLISHED, floor=0.0, decay=1.0)
    mastered = Start(task=HALF, source=StateSource.PUBLISHED, number=0)
    contested = Start(task=HALF, source=StateSource.PUBLISHED, number=1)
    for _ in range(20):
        curriculum.record(outcome(mastered, True))
        curriculum.record(outcome(contested, True))
        curriculum.record(outcome(contested, False))
    counts = Counter(curriculum.next() for _ in range(3000))
    assert counts[contested] > 2 * counts[mastered]


@pytest.mark.parametrize("kind", list(CurriculumKind))
@pytest.mark.parametrize("source", list(StateSource))
def test_a_restored_curriculum_goes_on_exactly(kind: CurriculumKind, source: StateSource) -> None:
    first = make(kind, source)
    for index in range(30):
        first.record(outcome(first.next(), index % 3 == 0))
    second = make(kind, source)
    second.load(first.state())
    assert [second.next() for _ in range(50)] == [first.next() for _ in range(50)]
