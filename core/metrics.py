"""Metrics and events of a run: JSON lines for programs, TensorBoard for people.

In: scalars per update and events as they happen. Out: `metrics.jsonl` (one line per update), `events.jsonl`
(one line per event) and `tensorboard/` in the run folder. Names are those of docs/metrics.md.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO


class MetricsWriter:
    """Appends whole lines and flushes each, so that a kill loses at most the line being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metrics = _append(folder / "metrics.jsonl")
        self._events = _append(folder / "events.jsonl")
        self._board = Board(folder / "tensorboard")

    def rewind(self, update: int) -> None:
        """Forget updates later than this one: they will be done again, from a checkpoint."""
        self._metrics.close()
        _forget_after(self._folder / "metrics.jsonl", update)
        self._metrics = _append(self._folder / "metrics.jsonl")
        self._board.forget_after(update)

    def scalars(self, update: int, values: dict[str, float]) -> None:
        """One line of an update. A value that is not finite is kept as null: JSON has no NaN."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        _write(self._metrics, {"update": update, "time": time.time(), **finite})
        self._board.add(update, values)

    def event(self, kind: str, **fields: Any) -> None:
        """One thing that happened, such as a worker's restart."""
        _write(self._events, {"time": time.time(), "kind": kind, **fields})

    def close(self) -> None:
        self._metrics.close()
        self._events.close()
        self._board.close()


class Board:
    """TensorBoard's own event writer: needs neither torch nor tensorflow."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder))

    def add(self, update: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=update, summary=Summary(value=points)))
        self._writer.flush()

    def forget_after(self, update: int) -> None:
        """Tell TensorBoard to hide points written by the attempt that is taken up again."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=update + 1, session_log=start))

    def close(self) -> None:
        self._writer.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a JSON lines file; a last line cut off by a kill is left out."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _forget_after(path: Path, update: int) -> None:
    kept = [json.dumps(line) + "\n" for line in read_lines(path) if line["update"] <= update]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)


def _append(path: Path) -> TextIO:
    """Open for appending, after mending a last line that a kill cut off."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    return path.open("a")


def _write(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()
