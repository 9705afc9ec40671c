"""Episodes of which there is a video, and what was thought at each of their moments.

In: fields of events and the episode's own JSON file. Out: lists to choose from (newest, best, worst), and for
one episode its numbers per decision: the reward model's score, the critic's value, the policy's entropy.
"""

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.folders import inside
from dashboard.metrics import number

MAX_EPISODES = 5000
MAX_JSON_BYTES = 2**20
MAX_DECISIONS = 4096
PER_DECISION = ("rprm_score", "value", "entropy", "surprise")
"""Numbers per decision; each may be absent."""
NUM_SHOWN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEpisode:
    """One episode, as its event tells it."""

    id: str
    task: str
    start: str
    success: bool
    steps: float
    total: float
    """Environment reward."""
    time: float
    version: int
    evaluation: int | None
    """After which update it was played to evaluate; None if it was played to train."""
    video: str | None

    @classmethod
    def read(cls, fields: dict[str, Any], time: float, *, evaluation: int | None) -> "RecordedEpisode":
        """Raises what indexing and converting raise where the fields are not an episode's."""
        start, video = fields["start"], fields.get("video")
        episode = cls(
            id=fields["episode"][:200],
            task=start.rsplit("/", 1)[0][:200],
            start=start[:200],
            success=fields["success"] is True,
            steps=number(fields["steps"]),
            total=number(fields["return"]),
            time=time,
            version=int(fields["max_version"]),
            evaluation=evaluation,
            video=video[:300] if video is not None else None,
        )
        if not all(map(math.isfinite, (episode.steps, episode.total, episode.time))):
            raise ValueError("steps, return and time of an episode are numbers")
        return episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Numbers per decision of one chunk of an episode."""

    episode: str
    chunk: int
    values: dict[str, array]

    @classmethod
    def read(cls, fields: dict[str, Any]) -> "Moments":
        return cls(episode=fields["episode"][:200], chunk=int(fields["chunk"]), values=_per_decision(fields))


class RecordedEpisodes:
    """The newest few thousand that have a video."""

    def __init__(self) -> None:
        self._episodes: dict[str, RecordedEpisode] = {}
        self._moments: dict[str, dict[int, Moments]] = {}

    def __len__(self) -> int:
        return len(self._episodes)

    def add(self, episode: RecordedEpisode) -> None:
        if episode.video is None:
            return
        self._episodes.pop(episode.id, None)
        self._episodes[episode.id] = episode
        if len(self._episodes) > MAX_EPISODES:
            oldest = next(iter(self._episodes))
            del self._episodes[oldest]
            self._moments.pop(oldest, None)

    def add_moments(self, moments: Moments) -> None:
        """What the learner said of a chunk; comes after the episode, or after its earlier chunks."""
        self._moments.setdefault(moments.episode, {})[moments.chunk] = moments
        if len(self._moments) > 2 * MAX_EPISODES:
            del self._moments[next(iter(self._moments))]

    def get(self, episode_id: str) -> RecordedEpisode | None:
        return self._episodes.get(episode_id)

    def tasks(self) -> list[str]:
        """Tasks of which there is something to see."""
        return sorted({episode.task for episode in self._episodes.values()})

    def choose(self, order: str, task: str | None) -> list[RecordedEpisode]:
        """The first few in this order: newest, best (fastest successes), worst (longest failures)."""
        found = [e for e in reversed(list(self._episodes.values())) if task is None or e.task == task]
        if order == "best":
            found = sorted((e for e in found if e.success), key=lambda e: e.steps)
        elif order == "worst":
            found = sorted((e for e in found if not e.success), key=lambda e: (e.total, -e.steps))
        return found[:NUM_SHOWN]

    def moments(self, episode_id: str) -> dict[str, list[float]]:
        """All chunks of an episode, one after the other."""
        chunks = self._moments.get(episode_id, {})
        return _joined([chunks[index].values for index in sorted(chunks)])


def episode_details(folder: Path, episode: RecordedEpisode, said: dict[str, list[float]]) -> dict[str, Any]:
    """What the page shows of one episode: from its file where there is one, and from the events."""
    about = _read_json(folder, f"episodes/{episode.id}.json")
    there = video_path(folder, episode) is not None
    instruction = about.get("instruction")
    return {
        "instruction": instruction[:300] if isinstance(instruction, str) else None,
        "video": there,
        "moments": {**_joined([_per_decision(about)]), **said},
    }


def video_path(folder: Path, episode: RecordedEpisode) -> Path | None:
    """The video's file; only an MP4 in this run's own `episodes/`."""
    if episode.video is None or not episode.video.endswith(".mp4"):
        return None
    path = inside(folder, episode.video)
    return path if path is not None and path.parent == folder / "episodes" and path.suffix == ".mp4" else None


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    """Fault-tolerance point: no file, or one that is not whole or not ours, tells nothing."""
    path = inside(folder, name)
    if path is None or path.stat().st_size > MAX_JSON_BYTES:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _per_decision(fields: dict[str, Any]) -> dict[str, array]:
    """Lists of numbers among the fields; what is no list of numbers is left out."""
    lists = {name: fields[name] for name in PER_DECISION if _is_numbers(fields.get(name))}
    return {name: array("f", map(_finite, found)) for name, found in lists.items()}


def _is_numbers(value: Any) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DECISIONS:
        return False
    return all(type(item) in (int, float) for item in value)


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) and abs(value) < 1e30 else 0.0


def _joined(parts: Iterable[dict[str, array]]) -> dict[str, list[float]]:
    joined: dict[str, list[float]] = {}
    for part in parts:
        for name, values in part.items():
            joined.setdefault(name, []).extend(round(value, 4) for value in values)
    return joined
