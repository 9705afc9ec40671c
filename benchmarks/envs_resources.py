"""What an environment costs beside its steps: time of a reset, memory, and what a neighbour's death does to
it."""

import os
import signal
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.envs_common import (
    ENDLESS,
    actions,
    await_ready,
    in_fresh_process,
    published,
    reset_all,
    steps_per_s,
)
from benchmarks.report import Row, at_least, below
from envs.vector import EnvPool, EnvReady

SIZE = 128
NUM_RESETS = 10
NUM_ADDED = 4
NUM_ROUNDS = 3
BASELINE_S = 4.0
START = published("libero_spatial", 0, 0)


def reset_cost(assets: dict[str, Path]) -> list[Row]:
    return [
        below(f"reset to another start, CPU ms, {name} assets", in_fresh_process(_reset_cpu_ms, folder), 100)
        for name, folder in assets.items()
    ]


def memory_per_env(assets: dict[str, Path]) -> list[Row]:
    rows = []
    for name, folder in assets.items():
        first_mb, added_mb, task_mb = in_fresh_process(_memory_mb, folder)
        note = f"worker with one environment {first_mb:.0f} MB, each further task {task_mb:.0f} MB"
        rows.append(below(f"memory per additional environment, MB, {name} assets", added_mb, 150, note))
    return rows


def rate_during_restart(assets: dict[str, Path]) -> list[Row]:
    ratios = in_fresh_process(_restart_ratios, assets["primitive"])
    note = "rounds: " + " ".join(f"{ratio:.2f}" for ratio in ratios)
    return [at_least("others' rate while a killed worker restarts", median(ratios), 0.9, note)]


def _reset_cpu_ms(assets: Path) -> float:
    """Placing, settling and the first picture, in the process that does it."""
    from envs.environment import LiberoEnv
    from envs.suites import task

    env = LiberoEnv(task(START.task), assets=assets, size=SIZE)
    env.reset(START)
    times_s = []
    for number in range(1, 1 + NUM_RESETS):
        began_s = time.process_time()
        env.reset(published(START.task.suite, START.task.index, number))
        times_s.append(time.process_time() - began_s)
    return 1000 * median(times_s)


def _memory_mb(assets: Path) -> tuple[float, float, float]:
    """Of a worker: with one environment, for each more of the same task, for each more task."""
    with EnvPool(1 + NUM_ADDED, num_workers=1, assets=assets, size=SIZE) as pool:
        first_mb = _worker_mb_after(pool, [0], task=0)
        all_mb = _worker_mb_after(pool, list(range(1, 1 + NUM_ADDED)), task=0)
        further_task_mb = _worker_mb_after(pool, [0], task=1)
    return first_mb, (all_mb - first_mb) / NUM_ADDED, further_task_mb - all_mb


def _worker_mb_after(pool: EnvPool, envs: list[int], task: int) -> float:
    """Memory that is the worker's alone, once these environments have played a little."""
    for env in envs:
        pool.reset(env, published(START.task.suite, task, env))
    await_ready(pool, len(envs))
    for env in envs:
        pool.step(env, actions(0, 8))
    await_ready(pool, len(envs))
    return psutil.Process(pool.worker_pid(0)).memory_full_info().uss / 1e6


def _restart_ratios(assets: Path) -> list[float]:
    """Environments 0 and 2 share the worker that is killed; 1 and 3 are the others."""
    with EnvPool(4, num_workers=2, assets=assets, size=SIZE, max_steps=ENDLESS) as pool:
        reset_all(pool, START)
        steps_per_s(pool, 1, 1.0)
        return [_restart_ratio(pool) for _ in range(NUM_ROUNDS)]


def _restart_ratio(pool: EnvPool) -> float:
    """The others' rate from the kill until the killed worker's environments have begun again, over that
    before.
    """
    before = steps_per_s(pool, 1, BASELINE_S) / 2
    _kill(pool)
    num_steps, began_s = 0, time.perf_counter()
    for env in (1, 3):
        pool.step(env, actions(0, 1))
    missing = {0, 2}
    while missing:
        for event in pool.poll(1.0):
            if not isinstance(event, EnvReady):
                pool.restart(event.env)
                pool.reset(event.env, START)
            elif event.env in (0, 2):
                missing.discard(event.env)
            else:
                num_steps += 1
                pool.step(event.env, actions(0, 1))
    during = num_steps / (time.perf_counter() - began_s)
    await_ready(pool, 2)
    return during / before


def _kill(pool: EnvPool) -> None:
    pid = pool.worker_pid(0)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
