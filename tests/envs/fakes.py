"""A small environment without physics that can be told to misbehave, for tests of what is around simulators.

The first number of an action says what happens: see the constants. Frames show the environment's step count.
"""

import os
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.config import RenderMode
from core.types import Start, TaskId
from envs.simulator import Environment, LiberoSimulator, NotFiniteError

MAX_STEPS = 12
BUILD_S = 0.5
UNBUILDABLE_TASK = 99

SUCCEED, HANG, DIE, DIVERGE, TURN_NAN, RAISE, SLOW = 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0
SLOW_S = 0.4


def command(number: float) -> np.ndarray:
    """(7,) the action that makes a `FakeEnv` do this."""
    return np.array([number, 0, 0, 0, 0, 0, 0], dtype=np.float64)


class FakeEnv:
    def __init__(self, size: int, max_steps: int) -> None:
        self._size, self._max_steps = size, max_steps or MAX_STEPS

    def reset(self, start: Start) -> tuple[dict[str, Any], dict[str, Any]]:
        self._num_steps = 0
        self._state = np.array([start.task.index, start.number], dtype=np.float64)
        return self._observation(), self._info(False)

    def step(self, actions: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        success = False
        for action in np.atleast_2d(actions):
            self._num_steps += 1
            success = self._obey(action[0])
            if success or self._num_steps >= self._max_steps:
                break
        truncated = not success and self._num_steps >= self._max_steps
        return self._observation(), float(success), success, truncated, self._info(success)

    def state(self) -> np.ndarray:
        return self._state

    def close(self) -> None:
        pass

    def _obey(self, number: float) -> bool:
        if number == HANG:
            time.sleep(1000)
        elif number == DIE:
            os._exit(7)
        elif number == DIVERGE:
            raise NotFiniteError("told to diverge")
        elif number == TURN_NAN:
            self._state[0] = np.nan
        elif number == RAISE:
            raise RuntimeError("told to raise")
        elif number == SLOW:
            time.sleep(SLOW_S)
        return bool(number == SUCCEED)

    def _observation(self) -> dict[str, Any]:
        return {"frame": np.full((self._size, self._size, 3), self._num_steps, dtype=np.uint8)}

    def _info(self, success: bool) -> dict[str, Any]:
        return {"success": success, "num_steps": self._num_steps, "proprio": np.zeros(8)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSimulator:
    """Builds take a while, as real ones do; one task cannot be built."""

    assets: Path
    render: RenderMode
    size: int
    cameras: tuple[str, ...]
    max_steps: int
    seed: int

    def prepare(self, worker: int) -> None:
        pass

    def check(self, start: Start) -> None:
        if start.task.index < 0:
            raise ValueError("no such task")

    def build(self, task: TaskId) -> None:
        _build(task)

    def make(self, task: TaskId) -> Environment:
        return FakeEnv(self.size, self.max_steps)


@cache
def _build(task: TaskId) -> None:
    time.sleep(BUILD_S)
    if task.index == UNBUILDABLE_TASK:
        raise RuntimeError("told not to build")


class ReportingSimulator(LiberoSimulator):
    """Real environments that tell in `info` which of the forbidden libraries their worker has imported."""

    def make(self, task: TaskId) -> Environment:
        return _ReportingEnv(super().make(task))


class _ReportingEnv:
    def __init__(self, env: Environment) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, start: Start) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = self._env.reset(start)
        return observation, info | {"foreign": sorted({"torch", "ray", "vllm"} & set(sys.modules))}
