"""What the parts of the simulation benchmark share: asset folders, fresh processes, driving a pool."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.types import Start, StateSource, TaskId
from envs.assets import resolve_assets
from envs.vector import EnvPool, EnvReady

Result = TypeVar("Result")

ENDLESS = 10**6
"""Step limit of an episode that a benchmark never finishes."""


def original_assets() -> Path | None:
    """LIBERO's own meshes where this machine has them: $LIBERO_ASSETS, or beside the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "libero-assets"
    folder = Path(os.environ.get("LIBERO_ASSETS") or beside)
    return resolve_assets(str(folder)) if folder.is_dir() else None


def asset_folders() -> dict[str, Path]:
    """Those that can be measured here, by name."""
    original = original_assets()
    return {"primitive": resolve_assets("primitive")} | ({"original": original} if original else {})


def published(suite: str, task: int, number: int) -> Start:
    return Start(task=TaskId(suite=suite, index=task), source=StateSource.PUBLISHED, number=number)


def in_fresh_process(function: Callable[..., Result], *args: object) -> Result:
    """Run a module's function in a process of its own, so that no section inherits another's memory or
    OpenGL.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


def actions(seed: int, num_steps: int) -> np.ndarray:
    """(num_steps, 7) small random motions with the gripper open."""
    motions = np.random.default_rng(seed).uniform(-0.3, 0.3, (num_steps, 7))
    motions[:, 6] = -1.0
    return motions


def reset_all(pool: EnvPool, start: Start) -> None:
    for env in range(pool.num_envs):
        pool.reset(env, start)
    await_ready(pool, pool.num_envs)


def await_ready(pool: EnvPool, num_events: int) -> None:
    while num_events > 0:
        for event in pool.poll(1.0):
            assert isinstance(event, EnvReady), event
            num_events -= 1


def steps_per_s(pool: EnvPool, chunk: int, seconds: float) -> float:
    """Environment steps per second with every environment always busy; `chunk` steps to a request and its
    frame.
    """
    plan = actions(0, chunk)
    num_steps, began_s = 0, time.perf_counter()
    for env in range(pool.num_envs):
        pool.step(env, plan)
    while (elapsed_s := time.perf_counter() - began_s) < seconds:
        for event in pool.poll(1.0):
            assert isinstance(event, EnvReady), event
            num_steps += chunk
            pool.step(event.env, plan)
    await_ready(pool, pool.num_envs)
    return num_steps / elapsed_s
