"""What a run has achieved: success before and after, task by task.

In: a run folder. Out: a table with Wilson intervals; the same as plain numbers; one start filmed before and
after.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from core.intervals import wilson
from core.metrics import read_lines
from envs.video import side_by_side

Evaluation = dict[str, Any]
ALL = "all"


def before_and_after(folder: Path) -> list[Evaluation]:
    """The first evaluation and the last, or the only one, from the run's events."""
    found = [line for line in read_lines(folder / "events.jsonl") if line["kind"] == "evaluation"]
    return found if len(found) < 2 else [found[0], found[-1]]


def table(folder: Path) -> str:
    """Before against after, a line for each task; a run that went on with other tasks leaves gaps."""
    columns = before_and_after(folder)
    if not columns:
        return "no evaluation was made"
    scores = [by_task(evaluation) for evaluation in columns]
    how = "greedy success" if columns[0]["greedy"] else "success, sampled"
    head = f"{how:<24}" + "".join(f"{'update ' + str(e['update']):>28}" for e in columns)
    tasks = [*sorted({task for score in scores for task in score} - {ALL}), ALL]
    rows = [f"{task:<24}" + "".join(_cell(score.get(task)) for score in scores) for task in tasks]
    return "\n".join([head, *rows])


def summary(folder: Path) -> dict[str, Any]:
    """The same as numbers, and what it took."""
    numbers: dict[str, Any] = {}
    for evaluation in before_and_after(folder):
        name = "before" if evaluation["update"] == 0 else "after"
        successes, number = by_task(evaluation)[ALL]
        numbers[name] = round(successes / number, 4)
        numbers[f"{name}_interval"] = [round(bound, 4) for bound in wilson(successes, number)]
        numbers["episodes"] = number
    updates = list(read_lines(folder / "metrics.jsonl"))
    steps = sum(update["rollout/env_steps_per_s"] * update["time/interval_s"] for update in updates)
    return {**numbers, "updates": len(updates), "env_steps": round(steps)}


def film(folder: Path) -> Path | None:
    """The same start before and after, side by side; if there is one, a start that only the latter solves."""
    columns = before_and_after(folder)
    if len(columns) < 2:
        return None
    before, after = (_filmed(folder, evaluation) for evaluation in columns)
    pairs = [(before[start], after[start]) for start in before if start in after]
    if not pairs:
        return None
    failed, solved = max(pairs, key=lambda pair: pair[1]["success"] - pair[0]["success"])
    out = folder / "before_and_after.mp4"
    side_by_side(folder / failed["video"], folder / solved["video"], out)
    return out


def _filmed(folder: Path, evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Start to episode, of those whose video was written: a full disk may have cost some."""
    filmed = (episode for episode in evaluation["episodes"] if episode["video"])
    return {episode["start"]: episode for episode in filmed if (folder / episode["video"]).is_file()}


def by_task(evaluation: Evaluation) -> dict[str, tuple[int, int]]:
    """Successes and episodes of each task, and of all."""
    counts: dict[str, list[bool]] = defaultdict(list)
    for episode in evaluation["episodes"]:
        counts[episode["start"].rsplit("/", 1)[0]].append(episode["success"])
    counts[ALL] = [success for successes in list(counts.values()) for success in successes]
    return {task: (sum(successes), len(successes)) for task, successes in counts.items()}


def _cell(score: tuple[int, int] | None) -> str:
    if score is None:
        return " " * 28
    successes, number = score
    low, high = wilson(successes, number)
    return f"{successes:>10}/{number:<4}{successes / number:5.0%} ({low:.0%}-{high:.0%})".rjust(28)
