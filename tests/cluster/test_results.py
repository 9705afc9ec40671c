"""What a run is said to have achieved, from events written by hand."""

from pathlib import Path

import numpy as np
import pytest

from cluster.results import film, summary, table
from core.metrics import MetricsWriter
from envs.video import write_video


def episode(folder: Path, update: int, number: int, *, success: bool) -> dict[str, object]:
    video = f"episodes/eval-{update:06d}-{number:04d}.mp4"
    write_video(folder / video, [np.full((64, 64, 3), 100, np.uint8)] * 4, [""] * 4)
    start = f"libero_spatial/{number // 2}/published-{number % 2}"
    return {"start": start, "success": success, "video": video}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two tasks, two starts each: one of four solved before, three after."""
    writer = MetricsWriter(tmp_path)
    for update, solved in ((0, [True, False, False, False]), (7, [True, False, True, True])):
        episodes = [episode(tmp_path, update, n, success=success) for n, success in enumerate(solved)]
        writer.event("evaluation", update=update, greedy=False, episodes=episodes)
    for update in (1, 2):
        writer.scalars(update, {"rollout/env_steps_per_s": 50.0, "time/interval_s": 10.0})
    writer.close()
    return tmp_path


def test_the_table_has_a_line_for_each_task(run: Path) -> None:
    head, first, second, everything = table(run).splitlines()
    assert head.startswith("success, sampled")
    assert "update 0" in head
    assert "update 7" in head
    assert first.split()[:3] == ["libero_spatial/0", "1/2", "50%"]
    assert "0/2" in second
    assert "2/2" in second
    assert "1/4" in everything
    assert "3/4" in everything


def test_a_run_that_went_on_with_other_tasks_leaves_gaps(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for update, task in ((0, 1), (7, 2)):
        episodes = [episode(tmp_path, update, 2 * task, success=True)]
        writer.event("evaluation", update=update, greedy=False, episodes=episodes)
    writer.close()
    assert [line.split()[:2] for line in table(tmp_path).splitlines()[1:]] == [
        ["libero_spatial/1", "1/1"],
        ["libero_spatial/2", "1/1"],
        ["all", "1/1"],
    ]
    assert film(tmp_path) is None


def test_the_summary_by_hand(run: Path) -> None:
    """Wilson's interval of 1 in 4 is 4.6 % to 69.9 %."""
    numbers = summary(run)
    assert (numbers["before"], numbers["after"], numbers["episodes"]) == (0.25, 0.75, 4)
    assert numbers["before_interval"] == pytest.approx([0.0456, 0.6994], abs=1e-3)
    assert (numbers["updates"], numbers["env_steps"]) == (2, 1000)


def test_the_only_evaluation_of_a_trained_policy_is_not_called_before(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.event("evaluation", update=7, greedy=False, episodes=[episode(tmp_path, 7, 0, success=True)])
    writer.close()
    numbers = summary(tmp_path)
    assert numbers["after"] == 1.0
    assert "before" not in numbers


def test_the_film_shows_a_start_that_was_learned(run: Path) -> None:
    film_path = film(run)
    assert film_path is not None
    assert film_path.is_file()


def test_a_video_that_was_not_written_is_passed_over(run: Path) -> None:
    """Starts 2 and 3 were learned; of the videos of 2 one is missing, and then those of all."""
    (run / "episodes" / "eval-000007-0002.mp4").unlink()
    assert film(run) is not None
    for video in (run / "episodes").iterdir():
        video.unlink()
    assert film(run) is None


def test_a_run_without_a_second_evaluation_has_no_film(tmp_path: Path) -> None:
    assert film(tmp_path) is None
    assert summary(tmp_path) == {"updates": 0, "env_steps": 0}
