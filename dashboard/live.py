"""Runs that somebody looks at, kept up to date once for all viewers.

In: names of runs. Out: their page data as bytes, made once per revision, and a signal when a run has changed.
Files are read and JSON is made in a thread, so that no viewer waits for another's.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Iterable

from dashboard.alarms import findings
from dashboard.folders import RunFolders
from dashboard.run import Run
from dashboard.snapshot import snapshot

POLL_S = 0.5
READ_S = 0.2
"""Longest piece of reading: of a long run the beginning is shown while the rest is being read."""
ALARMS_S = 5.0
"""Some alarms go off because nothing happens: they are looked at as time passes."""
MAX_RUNS = 32
"""Kept in memory; the one looked at longest ago goes first."""


class _Followed:
    """A run, its last page data, and which alarms were firing in it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lock = asyncio.Lock()
        self.was_read = asyncio.Event()
        self.page: bytes | None = None
        self.is_behind = False
        """Whether there is much that has not been read yet."""
        self._firing: list[str] = []
        self._alarms_due = 0.0

    def refresh(self) -> bool:
        """Whether the page would look different now."""
        self.is_behind = False
        changed = self.run.refresh(READ_S)
        if time.monotonic() >= self._alarms_due:
            self._alarms_due = time.monotonic() + ALARMS_S
            firing = [
                alarm["name"] for alarm in findings(self.run, time.time()) if alarm["state"] == "firing"
            ]
            if firing != self._firing and not changed:
                self.run.revision += 1
                changed = True
            self._firing = firing
        self.is_behind = self.run.is_behind
        return changed

    def make_page(self) -> bytes:
        return json.dumps(snapshot(self.run, time.time())).encode()


class Live:
    """Follows the runs that are asked for."""

    def __init__(self, folders: RunFolders) -> None:
        self.folders = folders
        self._runs: OrderedDict[str, _Followed] = OrderedDict()
        self.change = asyncio.Event()
        """Set when any run has changed; then there is a new one to wait for."""

    async def run(self, name: str) -> Run | None:
        """A run by name, read up to now; None if there is no such run."""
        followed = await self._follow(name)
        return None if followed is None else followed.run

    async def page(self, name: str) -> bytes | None:
        """The page data of a run."""
        followed = await self._follow(name)
        if followed is None:
            return None
        async with followed.lock:
            if followed.page is None:
                followed.page = await asyncio.to_thread(followed.make_page)
            return followed.page

    def revisions(self, names: Iterable[str]) -> dict[str, int]:
        """Of those that are being followed."""
        return {name: self._runs[name].run.revision for name in names if name in self._runs}

    async def poll_forever(self) -> None:
        """Look for new lines, for ever."""
        while True:
            behind = any(followed.is_behind for followed in self._runs.values())
            await asyncio.sleep(0.0 if behind else POLL_S)
            changed = [await self._refresh(followed) for followed in list(self._runs.values())]
            if any(changed):
                self.change.set()
                self.change = asyncio.Event()

    async def _follow(self, name: str) -> _Followed | None:
        followed = self._runs.get(name)
        if followed is None:
            path = self.folders.path(name)
            if path is None:
                return None
            followed = self._runs[name] = _Followed(Run(path))
            if len(self._runs) > MAX_RUNS:
                self._runs.popitem(last=False)
            await self._refresh(followed)
        else:
            self._runs.move_to_end(name)
        await followed.was_read.wait()
        return followed

    async def _refresh(self, followed: _Followed) -> bool:
        """Fault-tolerance point: whatever one run's files hold, the others are followed on."""
        async with followed.lock:
            try:
                changed = await asyncio.to_thread(followed.refresh)
            except Exception as error:
                changed = followed.run.note_trouble(f"reading stopped: {error!r}")
            else:
                changed = followed.run.note_trouble("") or changed
            if changed:
                followed.page = None
            followed.was_read.set()
            return changed
