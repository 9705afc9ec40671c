"""A run's own episodes: written by its recorder, read and labelled here."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from actors.recorder import Recorder
from core.types import EpisodeOutcome, Start, StateSource, TaskId
from reward.episodes import is_held_out, read_episodes
from reward.labels import LabelOptions
from reward.recorded import read_recorded

CAMERAS = ("agentview", "robot0_eye_in_hand")
K, NUM_DECISIONS, CLOSES = 4, 20, 8
OUTCOME = EpisodeOutcome(
    episode_id="0-0000007",
    start=Start(task=TaskId(suite="libero_spatial", index=3), source=StateSource.FRESH, number=11),
    success=True,
    num_steps=NUM_DECISIONS * K,
    episode_return=1.0,
    min_version=0,
    max_version=1,
)


def record(folder: Path, outcome: EpisodeOutcome) -> Path:
    """The arm moves 2 cm a decision, rests for three while the fingers close, and moves on."""
    recorder = Recorder(folder, steps_per_frame=K)
    height = 0.0
    for decision in range(NUM_DECISIONS + 1):
        resting = CLOSES <= decision < CLOSES + 3
        height += 0.0 if resting else 0.02
        fingers = 0.04 if decision <= CLOSES else 0.01
        frame = np.full((16, 32, 3), decision, np.uint8)
        recorder.add_frame(outcome.episode_id, frame, np.array([0, 0, height, 0, 0, 0, fingers, -fingers]))
        if decision < NUM_DECISIONS:
            actions = np.zeros((K, 7))
            actions[:, 6] = 1 if decision >= CLOSES else -1
            recorder.add_actions(outcome.episode_id, actions)
    recorder.finish(outcome, "pick up the black bowl", [0.0] * NUM_DECISIONS)
    recorder.close()
    return folder / f"{outcome.episode_id}.npz"


def test_a_runs_own_episode_is_labelled(tmp_path: Path) -> None:
    path = record(tmp_path, OUTCOME)
    (episode,) = read_episodes([path], 4, LabelOptions(), CAMERAS)
    assert episode.success
    assert episode.success_at == NUM_DECISIONS * K
    assert episode.steps.tolist() == [K * n for n in range(NUM_DECISIONS + 1)]
    assert episode.frames[:, 0, 0, 0].tolist() == list(range(NUM_DECISIONS + 1))
    assert episode.held_out == is_held_out("libero_spatial/3/fresh-11")
    positive = np.flatnonzero(episode.step == 1)
    assert CLOSES + 1 in positive  # the fingers have closed
    assert positive[-1] == NUM_DECISIONS  # the task is solved
    assert episode.progress[-1] == 1


def test_what_began_at_a_published_start_is_marked(tmp_path: Path) -> None:
    """`vlarl rprm train` leaves it out."""
    start = dataclasses.replace(OUTCOME.start, source=StateSource.PUBLISHED)
    paths = [
        record(tmp_path, OUTCOME),
        record(tmp_path, dataclasses.replace(OUTCOME, episode_id="eval-000000-0000", start=start)),
    ]
    fresh, published = read_episodes(paths, 4, LabelOptions(), CAMERAS)
    assert not fresh.is_published
    assert published.is_published


def test_fewer_frames_and_cameras_on_request(tmp_path: Path) -> None:
    path = record(tmp_path, OUTCOME)
    (episode,) = read_episodes([path], 8, LabelOptions(), CAMERAS[:1])
    assert episode.frames.shape == (NUM_DECISIONS // 2 + 1, 16, 16, 3)
    with pytest.raises(ValueError, match="recorded with 2 cameras"):
        read_recorded(path).pictures((*CAMERAS, "third"))


def test_a_failure_stays_one(tmp_path: Path) -> None:
    path = record(tmp_path, dataclasses.replace(OUTCOME, success=False))
    (episode,) = read_episodes([path], 4, LabelOptions(), CAMERAS)
    assert not episode.success
    assert (episode.done == 0).all()


def test_frames_without_a_description_are_named(tmp_path: Path) -> None:
    path = record(tmp_path, OUTCOME)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match=r"no 0-0000007\.json beside it"):
        read_recorded(path)
