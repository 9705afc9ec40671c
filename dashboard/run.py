"""One run folder, followed as it grows.

In: the folder. Out: its metrics and events in memory, a revision that changes when they do, and notes on what
could not be read.
"""

import math
import time
from pathlib import Path
from typing import Any

import yaml

from dashboard.events import EventHistory
from dashboard.folders import inside
from dashboard.lines import Tail
from dashboard.metrics import MetricHistory

MAX_CONFIG_BYTES = 2**15


class Run:
    """Reads only what is new; `refresh` is cheap when nothing is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.revision = int(time.time() * 1000)
        """Grows with every change, and is larger than any that was given when this run was last followed."""
        self.metrics, self.events = MetricHistory(), EventHistory()
        self.settings, self._settings_note = _read_settings(folder)
        self._trouble = ""
        self._metric_lines = Tail(folder, "metrics.jsonl")
        self._event_lines = Tail(folder, "events.jsonl")

    def refresh(self, limit_s: float = math.inf) -> bool:
        """Take in what was written since, for about this long at most; whether there was anything."""
        deadline = time.monotonic() + limit_s
        changed = False
        if self._metric_lines.was_replaced():
            self.metrics, changed = MetricHistory(), True
        if self._event_lines.was_replaced():
            self.events, changed = EventHistory(), True
        for tail, history in self._sources():
            for lines in tail.blocks():
                history.take(lines)
                changed = True
                if time.monotonic() > deadline:
                    break
        self.revision += changed
        return changed

    def note_trouble(self, trouble: str) -> bool:
        """What keeps the files from being read, "" for nothing; whether that is news."""
        is_news = trouble != self._trouble
        self._trouble = trouble
        self.revision += is_news
        return is_news

    @property
    def is_behind(self) -> bool:
        """Whether there is much that has not been read yet."""
        return any(tail.share_read() < 1.0 for tail, _ in self._sources())

    def _sources(self) -> list[tuple[Tail, MetricHistory | EventHistory]]:
        return [(self._event_lines, self.events), (self._metric_lines, self.metrics)]

    @property
    def last_time(self) -> float:
        """When something was last written, seconds since 1970; 0 if nothing was."""
        return max(self.metrics.last_time, self.events.last_time)

    def setting(self, key: str, otherwise: Any) -> Any:
        """A setting of the run by its `section.name`, if the file has one of the right kind."""
        section, name = key.split(".")
        part = self.settings.get(section)
        value = part.get(name, otherwise) if isinstance(part, dict) else otherwise
        return value if isinstance(value, type(otherwise)) else otherwise

    def notes(self) -> list[str]:
        """What a reader should know about the folder itself."""
        found = [note for note in (self._settings_note, self._trouble) if note]
        for tail, history in self._sources():
            if inside(self.folder, tail.name) is None:
                found.append(f"{tail.name} is not there (yet)")
            if tail.share_read() < 1.0:
                found.append(f"still reading {tail.name}, {tail.share_read():.0%} so far")
            number = tail.num_unreadable + history.num_foreign
            if number:
                found.append(f"{number} line{'s' * (number > 1)} of {tail.name} could not be understood")
        return found


def _read_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """Fault-tolerance point: a file that is not ours, or of another version, only costs its settings."""
    path = inside(folder, "config.yaml")
    if path is None:
        return {}, "config.yaml is not there"
    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(MAX_CONFIG_BYTES))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}, "config.yaml could not be understood"
    return (found, "") if isinstance(found, dict) else ({}, "config.yaml holds no settings")
