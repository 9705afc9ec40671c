"""A JSON lines file that somebody else is still writing.

In: a run folder and the file's name. Out: the objects of its new whole lines, each time it is asked. A
half-written last line waits for its end; a line that is no JSON object is counted and passed over; a file
that was replaced or cut (a run that went back to a checkpoint does that) is read again from its beginning.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dashboard.folders import inside

BLOCK_BYTES = 2**20
"""Read at a time; a longer line is foreign and passed over."""


class Tail:
    """What has been read of one file, and what could not be."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.num_unreadable = 0
        self._folder = folder
        self._offset = 0
        self._file_id: tuple[int, int] | None = None

    def was_replaced(self) -> bool:
        """Whether what was read before no longer counts; then the next `blocks` begin anew."""
        path = inside(self._folder, self.name)
        if path is None:
            return False
        status = path.stat()
        known, self._file_id = self._file_id, (status.st_dev, status.st_ino)
        if known is None or (known == self._file_id and status.st_size >= self._offset):
            return False
        self._offset = self.num_unreadable = 0
        return True

    def share_read(self) -> float:
        """How much of the file has been read, from 0 to 1; a half-written last line does not count."""
        path, size = inside(self._folder, self.name), 0
        with suppress(OSError):  # it has just gone
            size = 0 if path is None else path.stat().st_size
        return 1.0 if size - self._offset < BLOCK_BYTES else self._offset / size

    def blocks(self) -> Iterator[list[dict[str, Any]]]:
        """New whole lines, a block at a time; may be left off at any block and gone on with later."""
        path = inside(self._folder, self.name)
        if path is None:
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            while block := file.read(BLOCK_BYTES):
                whole = block.rfind(b"\n") + 1
                if not whole and len(block) < BLOCK_BYTES:
                    return
                self._offset += whole or len(block)
                file.seek(self._offset)
                yield self._objects(block[:whole] if whole else b"a line without an end")

    def _objects(self, block: bytes) -> list[dict[str, Any]]:
        lines = [line for line in block.split(b"\n") if line.strip()]
        objects = [found for line in lines if (found := _object(line)) is not None]
        self.num_unreadable += len(lines) - len(objects)
        return objects


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
