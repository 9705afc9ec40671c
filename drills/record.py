"""What a run puts on record, read while it grows, and how fast its environments went.

In: a run folder. Out: its events, each with the moment at which it was seen by this process's steady clock:
the run's own clock is among what is broken.
"""

import json
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

LEFT_OUT = '"kind": "moments"'
"""Long lines that no drill looks at; reading them would take time from the run that is measured."""

Event = dict[str, Any]


class Record:
    """`events.jsonl`, every line read once."""

    def __init__(self, run: Path) -> None:
        self._file = run / "events.jsonl"
        self._offset = 0
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """All there are now."""
        if self._file.is_file():
            with self._file.open("rb") as file:
                file.seek(self._offset)
                self._take_in(file.read())
        return self._events

    def _take_in(self, content: bytes) -> None:
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        seen_s = time.monotonic()
        lines = [line for line in whole.decode().splitlines() if LEFT_OUT not in line]
        self._events += [{**json.loads(line), "seen_s": seen_s} for line in lines]


def steps_per_s(events: list[Event], envs: Iterable[int], began_s: float, ended_s: float) -> float:
    """Environment steps per second of these environments together, between two moments.

    The steps of an episode are spread evenly over the time since its environment's last one: counting whole
    episodes would make a rate jump with the moment at which it begins to be measured.
    """
    episodes = [event for event in events if event["kind"] == "episode"]
    steps = sum(_steps([e for e in episodes if e["env"] == env], began_s, ended_s) for env in envs)
    return steps / (ended_s - began_s)


def _steps(episodes: list[Event], began_s: float, ended_s: float) -> float:
    total = 0.0
    for before, episode in pairwise(episodes):
        lasted_s = episode["seen_s"] - before["seen_s"]
        overlap_s = min(episode["seen_s"], ended_s) - max(before["seen_s"], began_s)
        if overlap_s > 0:
            total += episode["steps"] * overlap_s / lasted_s
    return total
