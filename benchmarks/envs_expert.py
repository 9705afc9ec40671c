"""Success of the scripted expert from starts that nothing was tuned on, per suite and assets."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Row, at_least
from core.types import Start, StateSource, TaskId

if TYPE_CHECKING:
    from envs.environment import LiberoEnv

SUITES = ("libero_spatial", "libero_object")
NUM_TASKS = 10
HELD_OUT = 900_000_000
"""First seed of the starts; demonstrations and training draw theirs from far below."""
NUM_PROCESSES = 2


def expert_success(assets: dict[str, Path], starts_per_task: int) -> list[Row]:
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as executor:
        return [
            _success(executor, suite, name, folder, starts_per_task)
            for suite in SUITES
            for name, folder in assets.items()
        ]


def _success(executor: ProcessPoolExecutor, suite: str, name: str, folder: Path, starts_per_task: int) -> Row:
    tasks = [TaskId(suite=suite, index=index) for index in range(NUM_TASKS)]
    jobs = [executor.submit(_solved, folder, task, starts_per_task) for task in tasks]
    solved = [job.result() for job in jobs]
    num_starts = NUM_TASKS * starts_per_task
    note = f"{sum(solved)} of {num_starts}, by task: {' '.join(map(str, solved))}"
    return at_least(f"expert success %, {suite}, {name} assets", 100 * sum(solved) / num_starts, 98, note)


def _solved(assets: Path, task_id: TaskId, num_starts: int) -> int:
    from envs.environment import LiberoEnv
    from envs.suites import task

    env = LiberoEnv(task(task_id), assets=assets, render=None)
    starts = [
        Start(task=task_id, source=StateSource.FRESH, number=HELD_OUT + number)
        for number in range(num_starts)
    ]
    return sum(_solves(env, start) for start in starts)


def _solves(env: "LiberoEnv", start: Start) -> bool:
    from envs.expert import Expert

    env.reset(start)
    expert = Expert(env)
    terminated = truncated = False
    while not (terminated or truncated or expert.done):
        _, _, terminated, truncated, _ = env.step(expert.act().executed)
    return terminated
