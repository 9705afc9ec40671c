"""What the experiments share: results as JSON rows, written when each is known, and what a run has found.

In: run folders. Out: lists of plain dictionaries, their files, rates as text.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cluster.results import ALL, by_task
from core.intervals import wilson
from core.metrics import read_lines

Row = dict[str, Any]
BASE = Path(__file__).parent / "tiny_cpu.yaml"
COMPLETE = 0


def load_rows(file: Path) -> list[Row]:
    """None at all where nothing has been run yet."""
    rows: list[Row] = json.loads(file.read_text()) if file.is_file() else []
    return rows


def save_rows(file: Path, rows: list[Row]) -> None:
    """A line a row, so that a change of one is a change of one line."""
    file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def train(folder: Path, *words: str) -> bool:
    """Train as the demonstration does but for these words, or go on in this folder; whether to the end."""
    where = [f"run.runs_dir={folder.parent}", f"run.name={folder.name}"]
    command = [sys.executable, "-m", "cli.main", "train", "--or-resume", str(BASE), *where, *words]
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait() == COMPLETE
        except KeyboardInterrupt:  # the run has heard it, too: it keeps what it has, and ends
            print("waiting for the run to end", flush=True)


def points(folder: Path) -> list[Row]:
    """Environment steps until each evaluation of a run, and how many of its episodes succeeded, also by task.

    Of one that was made again, because the run went on from an earlier checkpoint, the last counts.
    """
    steps = _steps(folder)
    found = {}
    for line in read_lines(folder / "events.jsonl"):
        if line["kind"] == "evaluation":
            scores = by_task(line)
            successes, episodes = scores.pop(ALL)
            found[line["update"]] = {
                "update": line["update"],
                "env_steps": steps[line["update"]],
                "successes": successes,
                "episodes": episodes,
                "by_task": {task: solved for task, (solved, _) in scores.items()},
            }
    return [found[update] for update in sorted(found)]


def practice(folder: Path) -> list[Row]:
    """Of every update: environment steps until then, and success of the training episodes since the last."""
    steps = _steps(folder)
    return [
        {
            "env_steps": steps[line["update"]],
            "success": round(line["rollout/success"], 3),
            "episodes": round(line["rollout/episodes"]),
        }
        for line in read_lines(folder / "metrics.jsonl")
        if line["rollout/episodes"] > 0
    ]


def _steps(folder: Path) -> dict[int, int]:
    """Update to the environment steps until then; none before the first."""
    steps: dict[int, int] = defaultdict(int)
    total = 0.0
    for line in read_lines(folder / "metrics.jsonl"):
        total += line["rollout/env_steps_per_s"] * line["time/interval_s"]
        steps[line["update"]] = round(total)
    return steps


def rate(successes: int, number: int) -> str:
    """With its 95 % interval."""
    low, high = wilson(successes, number)
    return f"{successes} of {number}, {100 * successes / number:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def mean_and_spread(rates: Sequence[float]) -> str:
    """In percent, of runs: their mean, and the standard deviation between them where there are several."""
    spread = f" ± {100 * stdev(rates):.0f}" if len(rates) > 1 else ""
    return f"{100 * mean(rates):.0f}{spread}"


def in_points(difference: float, interval: tuple[float, float]) -> str:
    """Of rates, as a table shows it."""
    low, high = interval
    return f"{100 * difference:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})"
