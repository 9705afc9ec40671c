"""How often and how fast the scripted expert solves each task, as a Markdown table.

  python -m benchmarks.expert --suites libero_spatial libero_object --starts 20 --assets primitive libero

Starts are fresh ones, drawn by seed from `--first-seed` on; nothing was tuned on the default ones. Without
rendering.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Row, print_report, reported
from core.types import Start, StateSource, TaskId

if TYPE_CHECKING:
    from envs.environment import LiberoEnv

HELD_OUT = 920_000_000
"""Demonstrations and training draw their starts from far below."""
PATIENCE = 20
"""Steps after the expert has given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The expert on one task, or on several."""

    steps: list[int]
    """Of the solved episodes."""
    failed: list[int]
    """Seeds of the others."""

    @property
    def share(self) -> float:
        return len(self.steps) / (len(self.steps) + len(self.failed))

    def __str__(self) -> str:
        mean = f"{sum(self.steps) / len(self.steps):.0f}" if self.steps else "-"
        return f"{len(self.steps)}/{len(self.steps) + len(self.failed)} | {mean}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--suites", nargs="+", default=["libero_spatial", "libero_object", "libero_goal", "libero_10"]
    )
    parser.add_argument("--assets", nargs="+", default=["primitive"], help="primitive, libero, or folders")
    parser.add_argument("--starts", type=int, default=20, help="per task")
    parser.add_argument("--first-seed", type=int, default=HELD_OUT, help="of the starts")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    columns = "".join(f" {Path(assets).name}: solved | mean steps |" for assets in args.assets)
    print(f"| task |{columns}\n|---|{'---|---|' * len(args.assets)}", flush=True)
    with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
        rows = [row for suite in args.suites for row in _suite(pool, suite, args)]
    print_report("expert", rows)


def _suite(pool: ProcessPoolExecutor, suite: str, args: argparse.Namespace) -> list[Row]:
    """Prints the table's lines; the total of each of the assets."""
    from envs.suites import suite_tasks

    tasks = suite_tasks(suite)
    jobs = [
        [
            pool.submit(score, assets, _starts(task.id, args.first_seed, args.starts), args.noise)
            for assets in args.assets
        ]
        for task in tasks
    ]
    rows = []
    for task, row in zip(tasks, jobs, strict=True):
        scores = [job.result() for job in row]
        rows.append(scores)
        print(f"| {task.id} {task.instruction} | {' | '.join(map(str, scores))} |", flush=True)
        for scored, assets in zip(scores, args.assets, strict=True):
            if scored.failed:
                print(f"{task.id}, {assets}: failed from seeds {scored.failed}", file=sys.stderr, flush=True)
    totals = [
        Score(
            steps=[steps for score in column for steps in score.steps],
            failed=[seed for score in column for seed in score.failed],
        )
        for column in zip(*rows, strict=True)
    ]
    print(f"| **{suite}** | {' | '.join(map(str, totals))} |", flush=True)
    return [
        reported(f"{suite}, {Path(assets).name} assets: share solved", total.share)
        for assets, total in zip(args.assets, totals, strict=True)
    ]


def score(assets: str, starts: Sequence[Start], noise: float) -> Score:
    """Of starts of one task."""
    from envs.assets import resolve_assets
    from envs.environment import LiberoEnv
    from envs.suites import task

    env = LiberoEnv(task(starts[0].task), assets=resolve_assets(assets), render=None)
    steps = [_steps(env, start, noise) for start in starts]
    return Score(
        steps=[taken for taken in steps if taken is not None],
        failed=[start.number for start, taken in zip(starts, steps, strict=True) if taken is None],
    )


def _starts(task_id: TaskId, first_seed: int, num_starts: int) -> list[Start]:
    seeds = range(first_seed, first_seed + num_starts)
    return [Start(task=task_id, source=StateSource.FRESH, number=seed) for seed in seeds]


def _steps(env: "LiberoEnv", start: Start, noise: float) -> int | None:
    """Steps until success; None without."""
    from envs.expert import Expert

    env.reset(start)
    expert = Expert(env, noise=noise, seed=start.number)
    patience = PATIENCE
    while patience > 0:
        _, _, terminated, truncated, info = env.step(expert.act().executed)
        if terminated:
            return int(info["num_steps"])
        if truncated:
            return None
        patience -= expert.done
    return None


if __name__ == "__main__":
    main()
