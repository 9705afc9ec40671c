"""Metrics and events of a run: JSON lines for programs, TensorBoard for people.

In: scalars per update and events as they happen. Out: `metrics.jsonl` (one line per update), `events.jsonl`
(one line per event) and `tensorboard/` in the run folder. Names are those of docs/metrics.md.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any


class MetricsWriter:
    """Appends whole lines, each in one write, so that neither a kill nor a full disk leaves half a line.

    What a full disk does not take is lost, and said; the run goes on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metrics = _append(folder / "metrics.jsonl")
        self._events = _append(folder / "events.jsonl")
        self._board = Board(folder / "tensorboard")
        self._warned = False

    def rewind(self, update: int) -> None:
        """Forget updates later than this one: they will be done again, from a checkpoint."""
        path = self._folder / "metrics.jsonl"
        kept = _until(path, update)
        temporary = path.with_name(path.name + ".tmp")
        try:
            temporary.write_bytes(kept)
            temporary.replace(path)  # another file, which whoever reads along can tell
        except OSError:  # a full disk has no room for a copy
            with suppress(OSError):
                temporary.unlink()
            os.ftruncate(self._metrics, len(kept))
        else:
            os.close(self._metrics)
            self._metrics = _append(path)
        self._board.forget_after(update)

    def scalars(self, update: int, values: dict[str, float]) -> None:
        """One line of an update."""
        self._write(self._metrics, {"update": update, "time": time.time(), **values})
        self._board.add(update, values)

    def event(self, kind: str, **fields: Any) -> None:
        """One thing that happened, such as a worker's restart."""
        self._write(self._events, {"time": time.time(), "kind": kind, **fields})

    def close(self) -> None:
        os.close(self._metrics)
        os.close(self._events)
        self._board.close()

    def _write(self, file: int, line: dict[str, Any]) -> None:
        if not _write_whole(file, (json.dumps(_finite(line)) + "\n").encode()) and not self._warned:
            self._warned = True
            print(f"the disk of {self._folder} is full: metrics and events are being lost", flush=True)


class Board:
    """TensorBoard's own event writer: needs neither torch nor tensorflow.

    Its points are a copy of `metrics.jsonl`; those that a full disk does not take are left out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = self._open()

    def add(self, update: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(Event(wall_time=time.time(), step=update, summary=Summary(value=points)))

    def forget_after(self, update: int) -> None:
        """Tell TensorBoard to hide points written by the attempt that is taken up again."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = SessionLog(status=SessionLog.START)
        self._add(Event(wall_time=time.time(), step=update + 1, session_log=start))

    def close(self) -> None:
        with suppress(OSError):
            self._writer.close()

    def _add(self, event: Any) -> None:
        """A writer that could not write once never writes again: then a new one begins a new file."""
        try:
            self._writer.add_event(event)
            self._writer.flush()
        except OSError:
            with suppress(OSError):
                self._writer = self._open()

    def _open(self) -> Any:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        return EventFileWriter(str(self._folder))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a JSON lines file; a last line cut off by a kill is left out."""
    if not path.is_file():
        return
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def _until(path: Path, update: int) -> bytes:
    """The file's lines of updates no later than this one; lines are in their order."""
    lines = path.read_bytes().splitlines(keepends=True)
    kept = takewhile(lambda line: json.loads(line)["update"] <= update, lines)
    return b"".join(kept)


def _append(path: Path) -> int:
    """A file descriptor to append to, after mending a last line that a kill cut off."""
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _write_whole(file: int, line: bytes) -> bool:
    """All of it or nothing; False if the disk is full."""
    size = os.fstat(file).st_size
    try:
        if os.write(file, line) == len(line):
            return True
    except OSError:
        pass
    os.ftruncate(file, size)
    return False


def _finite(value: Any) -> Any:
    """With null for numbers that are not finite: JSON has neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
