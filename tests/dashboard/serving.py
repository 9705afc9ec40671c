"""The real command, `vlarl dashboard`, as a process of its own. In: words. Out: its address."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A dashboard that runs."""

    address: str
    pid: int


@contextmanager
def serving(runs: Path, *words: str) -> Iterator[Served]:
    """Start it on a free port; stop it in the end."""
    command = [sys.executable, "-m", "cli.main", "dashboard", str(runs), "--port", "0", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+?/", line)
        assert found is not None, f"the dashboard said {line!r}"
        yield Served(found[0], process.pid)
    finally:
        process.terminate()
        process.wait(60)
