"""Is what a policy gained by reinforcement learning still there where training never was?

    python -m experiments.generalise runs/demo-…        what `make demo` left; several runs are pooled
    python -m experiments.generalise                    only the table

In: run folders. Out: experiments/generalisation.json (a row a policy and shift, written when it is judged), a
table: success before and after on the published starts as they are, and with each shift of `vlarl eval
--shift`. Stop it at any time: the same command goes on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from core.config import Config, Shift
from core.runfolder import RunFolder
from experiments.rows import Row, difference, load_rows, rate, save_rows

RESULTS = Path(__file__).parent / "generalisation.json"
BEFORE = "before"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="finished, all from one policy")
    parser.add_argument("--episodes", type=int, default=40, help="published starts a task")
    args = parser.parse_args()
    rows = load_rows(RESULTS)
    known = {(row["policy"], row["shift"]) for row in rows}
    for shift in Shift:
        for policy, words in policies(args.runs):
            if (policy, shift.value) not in known:
                print(f"== {policy}, shift {shift.value}", flush=True)
                rows.append({"policy": policy, "shift": shift.value, **_judge(words, shift, args.episodes)})
                known.add((policy, shift.value))
                save_rows(RESULTS, rows)
    print("\n".join(table(rows)))
    return 0


def policies(runs: list[Path]) -> Iterable[tuple[str, list[str]]]:
    """What each run began with, which is the same, and what it ended with; as words of `vlarl eval`."""
    for run in runs:
        folder = RunFolder.open(run)
        config = folder.load_config([])
        yield BEFORE, _words(config)
        adapter = folder.checkpoints / "last" / "adapter"
        yield f"after, seed {config.run.seed}", [*_words(config), "--adapter", str(adapter)]


def _words(config: Config) -> list[str]:
    tasks = [str(index) for index in config.env.tasks]
    temperature = str(config.policy.temperature)
    return [config.policy.checkpoint, "--suite", config.env.suite, "--tasks", *tasks, "--sample", temperature]


def _judge(words: list[str], shift: Shift, episodes: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--shift", shift.value, "--episodes", str(episodes), "--envs", "32", "--out", folder]
        subprocess.run([sys.executable, "-m", "cli.main", "eval", *words, *options], check=True)
        (found,) = json.loads(Path(folder, "results.json").read_text())["suites"].values()
    return {
        "successes": found["overall"]["successes"],
        "episodes": found["overall"]["episodes"],
        "by_task": {name: rate["successes"] for name, rate in found["tasks"].items()},
    }


def table(rows: list[Row]) -> list[str]:
    """Markdown: both rates with Wilson intervals, and their difference with its 95 % interval."""
    lines = ["| shift | before | after | gain, points |", "|---|---|---|---|"]
    for shift in Shift:
        judged = [row for row in rows if row["shift"] == shift.value]
        before = _pooled(row for row in judged if row["policy"] == BEFORE)
        after = _pooled(row for row in judged if row["policy"] != BEFORE)
        if before[1] and after[1]:
            lines.append(
                f"| {shift.value} | {rate(*before)} | {rate(*after)} | {difference(before, after)} |"
            )
    return lines


def _pooled(rows: Iterable[Row]) -> tuple[int, int]:
    """Successes and episodes."""
    found = [(row["successes"], row["episodes"]) for row in rows]
    return sum(successes for successes, _ in found), sum(episodes for _, episodes in found)


if __name__ == "__main__":
    sys.exit(main())
