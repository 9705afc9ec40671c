"""For how long a process has been at its present piece of work, for whoever pings it from another thread.

In: `with busy:` around each piece of work. Out: its seconds so far; `cluster/heartbeat.py` says how many are
too many.
"""

import time
from typing import Any


class Busy:
    """Entered by one thread, read by any."""

    def __init__(self) -> None:
        self._began: float | None = None

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: Any) -> None:
        self._began = None

    def begin_next(self) -> None:
        """What follows is another piece of the same work; nothing where there is none."""
        if self._began is not None:
            self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """0 between two pieces of work."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began
