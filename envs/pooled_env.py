"""A `LiberoEnv` as a pool's worker runs it: with the pool's step limit, its errors the pool's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.config import RenderMode, Shift
from envs.environment import LiberoEnv
from envs.physics import SimulationDivergedError
from envs.simulator import NotFiniteError
from envs.suites import Task


class PooledEnv(LiberoEnv):
    def __init__(
        self,
        task: Task,
        *,
        assets: Path,
        render: RenderMode,
        size: int,
        cameras: tuple[str, ...],
        max_steps: int,
        seed: int,
        shift: Shift,
    ) -> None:
        """`max_steps` 0 keeps the suite's own limit."""
        self._max_steps = max_steps
        super().__init__(
            task, assets=assets, render=render, size=size, cameras=cameras, seed=seed, shift=shift
        )

    def set_task(self, task: Task) -> None:
        super().set_task(replace(task, max_steps=self._max_steps or task.max_steps))

    def step(self, actions: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        try:
            return super().step(actions)
        except SimulationDivergedError as error:
            raise NotFiniteError(str(error)) from error
