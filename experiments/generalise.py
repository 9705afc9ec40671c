"""Is what a policy gained by reinforcement learning still there where training never was?

    python -m experiments.generalise runs/demo-…        what `make demo` left; several runs in one table
    python -m experiments.generalise                    only the table of all that have been judged so far

In: run folders. Out: experiments/generalisation.json (a row a policy and shift, written when it is judged), a
table of these runs: success before and after on the published starts as they are, and with each shift of
`vlarl eval --shift`. Stop it at any time: the same command goes on, and judges nothing twice.
"""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from scipy.stats import ttest_ind

from core.config import Config, Shift
from core.intervals import wilson
from core.runfolder import RunFolder
from experiments.rows import Row, in_points, load_rows, mean_and_spread, rate, save_rows

HERE = Path(__file__).parent
RESULTS = HERE / "generalisation.json"
ROOT = HERE.parent
"""Paths in rows are relative to it, wherever this is called."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="finished, all from one policy")
    parser.add_argument("--episodes", type=int, default=40, help="published starts a task")
    shifts = [shift.value for shift in Shift]
    parser.add_argument("--shifts", nargs="+", default=shifts, choices=shifts, help="all without")
    args = parser.parse_args()
    try:
        to_judge = policies(args.runs, args.episodes)
    except ValueError as error:
        parser.error(str(error))
    rows = load_rows(RESULTS)
    asked = []
    for shift in map(Shift, args.shifts):
        for run, words in to_judge.items():
            judged = {"run": run, "judged": words, "shift": shift.value}
            row = next((row for row in rows if row.items() >= judged.items()), None)
            if row is None:
                print(f"== {run or words.split()[0]}, shift {shift.value}", flush=True)
                row = judged | _judge(words, shift)
                rows.append(row)
                save_rows(RESULTS, rows)
            asked.append(row)
    for words, comparable in by_start(asked if args.runs else rows).items():
        print("\n".join([f"from {words}", "", *table(comparable), ""]))
    return 0


def policies(runs: list[Path], episodes: int) -> dict[str, str]:
    """What each run ended with, by its name, and what it began with (""); as words of `vlarl eval`."""
    found: dict[str, str] = {}
    for run in runs:
        folder = RunFolder.open(run)
        before = _words(folder.load_config(), episodes)
        if found.setdefault("", before) != before:
            raise ValueError(f"{run} began otherwise than {runs[0]}: give them one by one")
        last = (folder.checkpoints / "last").resolve()
        found[folder.path.name] = f"{before} --adapter {shlex.quote(os.path.relpath(last / 'adapter', ROOT))}"
    return found


def _words(config: Config, episodes: int) -> str:
    env = config.env
    tasks = f" --tasks {' '.join(map(str, env.tasks))}" if env.tasks else ""
    scene = f"--suite {env.suite}{tasks} --assets {shlex.quote(env.assets)} --render {env.render.value}"
    how = f"--sample {config.policy.temperature} --episodes {episodes}"
    return f"{shlex.quote(config.policy.checkpoint)} {scene} {how}"


def _judge(words: str, shift: Shift) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--shift", shift.value, "--envs", "32", "--out", folder]
        command = [sys.executable, "-m", "cli.main", "eval", *shlex.split(words), *options]
        subprocess.run(command, check=True, cwd=ROOT)
        (found,) = json.loads(Path(folder, "results.json").read_text())["suites"].values()
    return {
        "successes": found["overall"]["successes"],
        "episodes": found["overall"]["episodes"],
        "by_task": {name: rate["successes"] for name, rate in found["tasks"].items()},
    }


def by_start(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows that may be compared: of one policy to begin with, judged on the same starts in the same way."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["judged"].split(" --adapter ")[0], []).append(row)
    return found


def table(rows: list[Row]) -> list[str]:
    """Markdown: before with Wilson's interval, after by run, and the difference with its 95 % interval."""
    lines = ["| shift | before | after | by run, % | gain, points |", "|---|---|---|---|---|"]
    for shift in Shift:
        judged = [row for row in rows if row["shift"] == shift.value]
        before = [_counts(row) for row in judged if not row["run"]]
        after = [_counts(row) for row in judged if row["run"]]
        if before and after:
            rates = [successes / number for successes, number in after]
            by_run = ", ".join(f"{100 * found:.0f}" for found in rates)
            cells = (rate(*before[0]), f"{mean_and_spread(rates)} %", by_run, _gain(before[0], after))
            lines.append(f"| {shift.value} | {' | '.join(cells)} |")
    return lines


def _gain(before: tuple[int, int], after: list[tuple[int, int]]) -> str:
    """The interval counts runs, where that is the wider one, or else episodes.

    Runs of the same settings differ by more than their episodes do; a few may be alike all the same.
    """
    rates = [successes / number for successes, number in after]
    pooled = sum(successes for successes, _ in after), sum(number for _, number in after)
    intervals = [_newcombe(before, pooled)]
    if len(set(rates)) > 1:
        successes, number = before
        intervals.append(_welch([1.0] * successes + [0.0] * (number - successes), rates))
    gain = mean(rates) - before[0] / before[1]
    return in_points(gain, max(intervals, key=lambda interval: interval[1] - interval[0]))


def _newcombe(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, float]:
    """Of a difference of rates, counting episodes: made of two of Wilson (Stat. in Medicine 17, 1998)."""
    p, q = before[0] / before[1], after[0] / after[1]
    (low_p, high_p), (low_q, high_q) = wilson(*before), wilson(*after)
    return q - p - math.hypot(q - low_q, high_p - p), q - p + math.hypot(high_q - q, p - low_p)


def _welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a difference of means; at least two of each, and not all alike."""
    interval = ttest_ind(after, before, equal_var=False).confidence_interval()
    return float(interval.low), float(interval.high)


def _counts(row: Row) -> tuple[int, int]:
    return row["successes"], row["episodes"]


if __name__ == "__main__":
    sys.exit(main())
