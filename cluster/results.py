"""What a run has achieved: success before and after, task by task.

In: a run folder. Out: a table with Wilson intervals.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from core.intervals import wilson
from core.metrics import read_lines


def table(folder: Path) -> str:
    """First evaluation against the last, from the run's events."""
    evaluations = [line for line in read_lines(folder / "events.jsonl") if line["kind"] == "evaluation"]
    if not evaluations:
        return "no evaluation was made"
    columns = evaluations[:1] + evaluations[-1:] if len(evaluations) > 1 else evaluations
    scores = [_by_task(evaluation) for evaluation in columns]
    head = f"{'greedy success':<24}" + "".join(f"{'update ' + str(e['update']):>28}" for e in columns)
    rows = [f"{task:<24}" + "".join(_cell(*score[task]) for score in scores) for task in scores[0]]
    return "\n".join([head, *rows])


def _by_task(evaluation: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Successes and episodes of each task, and of all."""
    counts: dict[str, list[bool]] = defaultdict(list)
    for episode in evaluation["episodes"]:
        counts[episode["start"].rsplit("/", 1)[0]].append(episode["success"])
    counts["all"] = [success for successes in list(counts.values()) for success in successes]
    return {task: (sum(successes), len(successes)) for task, successes in counts.items()}


def _cell(successes: int, number: int) -> str:
    low, high = wilson(successes, number)
    return f"{successes:>10}/{number:<4}{successes / number:5.0%} ({low:.0%}-{high:.0%})".rjust(28)
