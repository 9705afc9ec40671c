"""Environment steps per second: the pool beside LIBERO's own vector, and assets beside assets.

Each comparison keeps both sides alive in one process and measures them in turns, so that what else the
machine does hits both alike; the figure is the ratio of the medians.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np

from benchmarks.envs_common import ENDLESS, actions, in_fresh_process, published, reset_all, steps_per_s
from benchmarks.report import Row, at_least, not_measured
from core.types import Start
from envs import renderer
from envs.suites import task
from envs.vector import EnvPool

SIZE = 128
NUM_ENVS = 4
"""As many processes on both sides, so that other work on the machine takes as much from each."""
FRAME_PER_ACTIONS = 8
START = published("libero_spatial", 0, 0)
COMPARED = tuple(
    published(suite, 0, 0) for suite in ("libero_spatial", "libero_object", "libero_goal", "libero_10")
)


def against_libero(assets: dict[str, Path], rounds: int, seconds: float) -> list[Row]:
    name = "original" if "original" in assets else "primitive"
    libero, every_step, chunked = in_fresh_process(_libero_and_pool, assets[name], rounds, seconds)
    rates = f"{name} assets, {SIZE} px: LIBERO {libero:.1f}/s"
    return [
        at_least(
            "steps/s, frame every step, vs SubprocVectorEnv",
            every_step / libero,
            8,
            f"{rates}, pool {every_step:.0f}/s",
        ),
        at_least(
            "steps/s, frame per 8 actions, vs SubprocVectorEnv",
            chunked / libero,
            25,
            f"{rates}, pool {chunked:.0f}/s",
        ),
    ]


def primitive_against_original(assets: dict[str, Path], rounds: int, seconds: float) -> list[Row]:
    """The geometric mean over one task of each suite: how much a picture counts beside the step differs."""
    name = "steps/s, primitive vs original assets"
    if "original" not in assets:
        return [not_measured(name, "LIBERO's own assets are not here; set LIBERO_ASSETS")]
    folders = assets["primitive"], assets["original"]
    ratios = {
        start.task.suite: in_fresh_process(_pool_over_pool, *folders, start, rounds, seconds)
        for start in COMPARED
    }
    note = "frame every step; " + ", ".join(f"{suite} {ratio:.2f}" for suite, ratio in ratios.items())
    return [at_least(name, geometric_mean(ratios.values()), 1.5, note)]


def _libero_and_pool(assets: Path, rounds: int, seconds: float) -> list[float]:
    libero = _libero_vector(assets)
    with _pool(assets, START) as pool:
        try:
            return _in_turns(
                [
                    lambda: _libero_steps_per_s(libero, seconds),
                    lambda: steps_per_s(pool, 1, seconds),
                    lambda: steps_per_s(pool, FRAME_PER_ACTIONS, seconds),
                ],
                rounds,
            )
        finally:
            libero.close()


def _pool_over_pool(first: Path, second: Path, start: Start, rounds: int, seconds: float) -> float:
    with _pool(first, start) as one, _pool(second, start) as other:
        rates = _in_turns(
            [lambda: steps_per_s(one, 1, seconds), lambda: steps_per_s(other, 1, seconds)], rounds
        )
    return rates[0] / rates[1]


def _in_turns(measurements: list[Callable[[], float]], rounds: int) -> list[float]:
    """The median of every measurement over A, B, A, B, ..."""
    figures = [[measure() for measure in measurements] for _ in range(rounds)]
    return [median(column) for column in zip(*figures, strict=True)]


def _pool(assets: Path, start: Start) -> EnvPool:
    pool = EnvPool(NUM_ENVS, num_workers=NUM_ENVS, assets=assets, size=SIZE, max_steps=ENDLESS)
    reset_all(pool, start)
    steps_per_s(pool, 1, 0.5)
    return pool


def _libero_vector(assets: Path) -> Any:
    """LIBERO's own, with the same single camera, of the same task."""
    from envs.libero_setup import prepare

    renderer.activate(renderer.probe())
    prepare(assets)
    from libero.libero.envs import SubprocVectorEnv

    def make() -> Any:
        prepare(assets)  # in each of its processes
        from libero.libero.envs import OffScreenRenderEnv

        return OffScreenRenderEnv(
            bddl_file_name=str(task(START.task).bddl_file),
            camera_names=["agentview"],
            camera_heights=SIZE,
            camera_widths=SIZE,
            horizon=ENDLESS,
        )

    vector = SubprocVectorEnv([make] * NUM_ENVS)
    vector.seed(0)
    vector.reset()
    return vector


def _libero_steps_per_s(vector: Any, seconds: float) -> float:
    action = np.tile(actions(0, 1), (NUM_ENVS, 1))
    num_steps, began_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - began_s) < seconds:
        vector.step(action)
        num_steps += NUM_ENVS
    return num_steps / elapsed_s
