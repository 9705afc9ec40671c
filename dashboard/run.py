"""One run folder, followed as it grows.

In: the folder. Out: its metrics and events in memory, a revision that changes when they do, and notes on what
could not be read.
"""

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
        self.revision = 0
        self.metrics, self.events = MetricHistory(), EventHistory()
        self.settings, self._settings_note = _read_settings(folder)
        self._metric_lines = Tail(folder, "metrics.jsonl")
        self._event_lines = Tail(folder, "events.jsonl")

    def refresh(self) -> bool:
        """Take in what was written since; whether there was anything."""
        changed = False
        if self._metric_lines.was_replaced():
            self.metrics, changed = MetricHistory(), True
        if self._event_lines.was_replaced():
            self.events, changed = EventHistory(), True
        for lines in self._metric_lines.blocks():
            self.metrics.take(lines)
            changed = True
        for lines in self._event_lines.blocks():
            self.events.take(lines)
            changed = True
        self.revision += changed
        return changed

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
        found = [self._settings_note] if self._settings_note else []
        for lines, history in ((self._metric_lines, self.metrics), (self._event_lines, self.events)):
            if inside(self.folder, lines.name) is None:
                found.append(f"{lines.name} is not there (yet)")
            number = lines.num_unreadable + history.num_foreign
            if number:
                found.append(f"{number} line{'s' * (number > 1)} of {lines.name} could not be understood")
        return found


def _read_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """Fault-tolerance point: a file that is not ours, or of another version, only costs its settings."""
    path = inside(folder, "config.yaml")
    if path is None:
        return {}, "config.yaml is not there"
    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(MAX_CONFIG_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, "config.yaml could not be understood"
    return (found, "") if isinstance(found, dict) else ({}, "config.yaml holds no settings")
