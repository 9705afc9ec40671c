"""Batches that hold what the losses compare: of every task a success and a failure, several frames of each.

In: labelled episodes. Out: `Batch`es, drawn with a generator.
Shape letters: B frames, Q pairs, H W picture.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward.episodes import Episode

FRAMES_PER_EPISODE = 4
MIN_GAP = 8
"""Environment steps that two frames of a success must lie apart for their order to be taught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Frames of some episodes with their labels."""

    frames: np.ndarray
    """(B, H, W, 3) uint8 as rendered."""
    instructions: list[str]
    step: np.ndarray
    """(B,) labels as in `reward.labels.Labels`."""
    done: np.ndarray
    progress: np.ndarray
    better: np.ndarray
    """(Q,) rows of which the score should be above that of the row in `worse`."""
    worse: np.ndarray


@dataclass(frozen=True, slots=True)
class _Pick:
    episode: Episode
    row: int


class BatchSource:
    """Draws batches in which every task, success and failure, yes and no have their share."""

    def __init__(self, episodes: Sequence[Episode]) -> None:
        self._by_task: dict[str, list[list[Episode]]] = defaultdict(lambda: [[], []])
        for episode in episodes:
            self._by_task[episode.instruction][episode.success].append(episode)
        self._tasks = sorted(task for task, (_, successes) in self._by_task.items() if successes)
        if not self._tasks:
            raise ValueError("there is no task with a successful episode on the training side of these files")

    def draw(self, rng: np.random.Generator, num_tasks: int) -> Batch:
        """`num_tasks` tasks; of each two episodes, a failure among them if there is one."""
        picks: list[_Pick] = []
        for task in rng.choice(self._tasks, num_tasks):
            failures, successes = self._by_task[task]
            for episode in (_one(rng, successes), _one(rng, failures or successes)):
                picks += [_Pick(episode, row) for row in _rows(rng, episode)]
        return _batch(picks)


def _one(rng: np.random.Generator, episodes: list[Episode]) -> Episode:
    return episodes[rng.integers(len(episodes))]


def _rows(rng: np.random.Generator, episode: Episode) -> list[int]:
    """Of a success one frame just after a sub-task and one that shows it done; of a failure one late one."""
    anywhere = np.arange(episode.until_success)
    if episode.success:
        pools = [np.flatnonzero(episode.step == 1), np.flatnonzero(episode.done == 1)]
    else:
        pools = [anywhere[-len(anywhere) // 4 :]]
    pools += [anywhere] * (FRAMES_PER_EPISODE - len(pools))
    return [int(rng.choice(pool)) for pool in pools]


def _batch(picks: list[_Pick]) -> Batch:
    better, worse = _pairs(picks)
    return Batch(
        frames=np.stack([pick.episode.frames[pick.row] for pick in picks]),
        instructions=[pick.episode.instruction for pick in picks],
        step=np.array([pick.episode.step[pick.row] for pick in picks], np.float32),
        done=np.array([pick.episode.done[pick.row] for pick in picks], np.float32),
        progress=np.array([pick.episode.progress[pick.row] for pick in picks], np.float32),
        better=better,
        worse=worse,
    )


def _pairs(picks: list[_Pick]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(i, j) for i, a in enumerate(picks) for j, b in enumerate(picks) if _is_better(a, b)]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _is_better(a: _Pick, b: _Pick) -> bool:
    """Later beats earlier within a success; a success's end beats all of a failure at the same task."""
    if a.episode is b.episode:
        return a.episode.success and _time(a) - _time(b) >= MIN_GAP
    same_task = a.episode.instruction == b.episode.instruction
    return same_task and a.episode.done[a.row] == 1 and not b.episode.success


def _time(pick: _Pick) -> int:
    """Environment step; what follows success is no better than success."""
    assert pick.episode.success_at is not None
    return min(int(pick.episode.steps[pick.row]), pick.episode.success_at)
