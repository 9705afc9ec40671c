"""Runs of the real command line, measured from outside.

In: command-line words. Out: the metrics of a run, and what memory its processes held over its updates.
"""

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from core.metrics import read_lines

LOOK_EVERY_S = 2.0
RUN_TIMEOUT_S = 7200
RAYS_OWN = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes titled like actors."""

Memory = dict[str, list[tuple[int, float]]]
"""Of each process, by name: MB at every look, with the update it was at."""


def measured_run(words: list[str], runs: Path, name: str, num_updates: int) -> list[dict[str, Any]]:
    """`vlarl train` to its end; one line of metrics per update."""
    lines, _ = watched_run(words, runs, name, num_updates)
    return lines


def watched_run(
    words: list[str], runs: Path, name: str, num_updates: int
) -> tuple[list[dict[str, Any]], Memory]:
    """The same, and the memory of every process while it ran."""
    own = [f"run.runs_dir={runs}", f"run.name={name}", f"run.num_updates={num_updates}"]
    command = [sys.executable, "-m", "cli.main", "train", *words, *own]
    metrics, memory = runs / name / "metrics.jsonl", defaultdict[str, list[tuple[int, float]]](list)
    with (runs / f"{name}.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as run:
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while run.poll() is None:
            if time.monotonic() > deadline:
                run.terminate()
            update = sum(1 for _ in read_lines(metrics))
            for process, megabytes in _family(run.pid):
                memory[process].append((update, megabytes))
            time.sleep(LOOK_EVERY_S)
    lines = list(read_lines(metrics))
    if run.returncode != 0 or len(lines) != num_updates:
        raise RuntimeError(
            f"the run ended with {run.returncode}: {(runs / f'{name}.log').read_text()[-2000:]}"
        )
    return lines, memory


def _family(pid: int) -> list[tuple[str, float]]:
    """The run's own processes: driver, actors, simulators. Ray's services are not ours."""
    found = []
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            line = " ".join(process.cmdline())
            named = next((word for word in ("cli.main", "ray::", "envs.worker") if word in line), None)
            if named and not any(word in line for word in RAYS_OWN):
                found.append((f"{_title(line, named)} {process.pid}", process.memory_info().rss / 2**20))
        except psutil.NoSuchProcess:
            continue
    return found


def _title(line: str, named: str) -> str:
    """Ray pads an actor's title with spaces."""
    return line.split(".")[0].removeprefix("ray::").strip() if named == "ray::" else named
