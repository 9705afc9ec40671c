"""Episodes for the run folder, written beside the loop so that no environment waits for them.

In: frames and actions while an episode is played, its outcome at the end. Out: `episodes/<id>.mp4`,
`<id>.json`, and `<id>.npz`: what `vlarl rprm` needs to label it and train on it.
"""

import dataclasses
import io
import json
import os
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.types import EpisodeOutcome
from envs.video import write_video

CONTROL_HZ = 20


@dataclass(slots=True)
class _Open:
    """An episode that is being played."""

    frames: list[np.ndarray] = field(default_factory=list)
    proprio: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)


class Recorder:
    """Keeps frames of open episodes; a thread encodes finished ones."""

    def __init__(self, folder: Path, *, steps_per_frame: int) -> None:
        self._folder = folder
        self._fps = max(1, CONTROL_HZ // steps_per_frame)
        self._steps_per_frame = steps_per_frame
        self._open: dict[str, _Open] = defaultdict(_Open)
        self._writer = ThreadPoolExecutor(1)

    def add_frame(self, episode_id: str, frame: np.ndarray, proprio: np.ndarray) -> None:
        """The next frame of an episode, and the arm's numbers at that moment."""
        self._open[episode_id].frames.append(frame)
        self._open[episode_id].proprio.append(proprio)

    def add_actions(self, episode_id: str, actions: np.ndarray) -> None:
        """(K, 7) that were decided on at the last frame."""
        self._open[episode_id].actions.append(actions)

    def finish(self, outcome: EpisodeOutcome, instruction: str, surprise: list[float]) -> EpisodeOutcome:
        """Write the episode, soon; returns its outcome with the video's place in the run folder.

        `surprise` is per decision, as in `actors.episode.Episode`.
        """
        episode = self._open.pop(outcome.episode_id)
        outcome = dataclasses.replace(outcome, video=f"{self._folder.name}/{outcome.episode_id}.mp4")
        written = self._writer.submit(self._write, outcome, instruction, list(surprise), episode)
        written.add_done_callback(_tell_failure)
        return outcome

    def discard(self, episode_id: str) -> None:
        """The episode was lost."""
        self._open.pop(episode_id, None)

    def close(self) -> None:
        """Wait for what is being written."""
        self._writer.shutdown()

    def _write(
        self, outcome: EpisodeOutcome, instruction: str, surprise: list[float], episode: _Open
    ) -> None:
        ending, name = "success" if outcome.success else "failure", outcome.episode_id
        num_frames = len(episode.frames)
        captions = [f"{instruction}\n{outcome.start}  frame {n}  {ending}" for n in range(num_frames)]
        write_video(self._folder / f"{name}.mp4", episode.frames, captions, fps=self._fps)
        _write_whole(self._folder / f"{name}.npz", self._arrays(episode))
        about = {
            "episode": outcome.episode_id,
            "start": str(outcome.start),
            "instruction": instruction,
            "success": outcome.success,
            "steps": outcome.num_steps,
            "steps_per_frame": self._steps_per_frame,
            "min_version": outcome.min_version,
            "max_version": outcome.max_version,
            "surprise": [round(value, 4) for value in surprise],
        }
        _write_whole(self._folder / f"{name}.json", json.dumps(about, indent=2).encode() + b"\n")

    @staticmethod
    def _arrays(episode: _Open) -> bytes:
        """Frames (T, H, cameras · W, 3), proprio (T, 8), actions (T - 1, K, 7)."""
        content = io.BytesIO()
        np.savez_compressed(
            content,
            frames=np.stack(episode.frames),
            proprio=np.stack(episode.proprio),
            actions=np.stack(episode.actions),
        )
        return content.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _tell_failure(written: "Future[None]") -> None:
    """A full disk costs a recording, not the episode."""
    if (error := written.exception()) is not None:
        print(f"an episode was not recorded: {error}", flush=True)
