"""Videos of episodes for the run folder, written beside the loop so that no environment waits for them.

In: frames while an episode is played, its outcome at the end. Out: `episodes/<id>.mp4` and `<id>.json`.
"""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from core.types import EpisodeOutcome
from envs.video import write_video

CONTROL_HZ = 20


class Recorder:
    """Keeps frames of open episodes; a thread encodes finished ones."""

    def __init__(self, folder: Path, *, steps_per_frame: int) -> None:
        self._folder = folder
        self._fps = max(1, CONTROL_HZ // steps_per_frame)
        self._frames: dict[str, list[np.ndarray]] = {}
        self._writer = ThreadPoolExecutor(1)

    def add_frame(self, episode_id: str, frame: np.ndarray) -> None:
        """The next frame of an episode."""
        self._frames.setdefault(episode_id, []).append(frame)

    def finish(self, outcome: EpisodeOutcome, instruction: str, surprise: list[float]) -> EpisodeOutcome:
        """Write the episode, soon; returns its outcome with the video's place in the run folder.

        `surprise` is per decision, as in `actors.episode.Episode`.
        """
        frames = self._frames.pop(outcome.episode_id)
        outcome = dataclasses.replace(outcome, video=f"{self._folder.name}/{outcome.episode_id}.mp4")
        self._writer.submit(self._write, outcome, instruction, list(surprise), frames)
        return outcome

    def discard(self, episode_id: str) -> None:
        """The episode was lost."""
        self._frames.pop(episode_id, None)

    def close(self) -> None:
        """Wait for what is being written."""
        self._writer.shutdown()

    def _write(
        self, outcome: EpisodeOutcome, instruction: str, surprise: list[float], frames: list[np.ndarray]
    ) -> None:
        ending = "success" if outcome.success else "failure"
        captions = [f"{instruction}\n{outcome.start}  frame {n}  {ending}" for n in range(len(frames))]
        write_video(self._folder / f"{outcome.episode_id}.mp4", frames, captions, fps=self._fps)
        about = {
            "episode": outcome.episode_id,
            "start": str(outcome.start),
            "instruction": instruction,
            "success": outcome.success,
            "steps": outcome.num_steps,
            "min_version": outcome.min_version,
            "max_version": outcome.max_version,
            "surprise": [round(value, 4) for value in surprise],
        }
        _write_whole(self._folder / f"{outcome.episode_id}.json", json.dumps(about, indent=2) + "\n")


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text)
    os.replace(temporary, path)
