"""What a worker process needs to run environments, and LIBERO's implementation of it.

A `Simulator` is a small recipe that the pool pickles to every worker. There `prepare` runs once, `build`
before every reset (in a second thread, so that others' steps go on), and `make` gives environments that
share what is built. The owner of the pool holds a recipe without importing MuJoCo or LIBERO.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.config import RenderMode, Shift
from core.types import Start, TaskId
from envs import renderer, suites
from envs.renderer import RendererInfo


class NotFiniteError(RuntimeError):
    """The simulated state holds NaN or infinity."""


class Environment(Protocol):
    """One environment as a worker sees it: Gymnasium conventions, K steps and then one frame.

    A `NotFiniteError` says that the simulation diverged, any other exception that something else broke.
    """

    def reset(self, start: Start) -> tuple[dict[str, Any], dict[str, Any]]: ...
    def step(self, actions: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]: ...
    def state(self) -> np.ndarray: ...
    def close(self) -> None: ...


class Simulator(Protocol):
    """How a worker makes its environments."""

    def prepare(self, worker: int) -> None:
        """All that a fresh process needs once, as the pool's worker of this number."""

    def check(self, start: Start) -> None:
        """Refuse, with a ValueError and in the owner's process, a start that does not exist."""

    def build(self, task: TaskId) -> None:
        """Make what environments of this task share, unless it is there. May run beside steps, not beside
        resets.
        """

    def make(self, task: TaskId) -> Environment:
        """A new environment; its `reset` turns to another task by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiberoSimulator:
    """Real LIBERO."""

    assets: Path
    render: RenderMode
    size: int
    cameras: tuple[str, ...]
    max_steps: int
    """0 keeps each suite's own limit."""
    seed: int
    """Draws the places of fixtures."""
    shift: Shift = Shift.NONE
    renderer: RendererInfo = field(default_factory=renderer.probe)
    first_worker: int = 0
    """Number of the pool's first worker among all pools that share the machine's GPUs."""

    def prepare(self, worker: int) -> None:
        renderer.activate(replace(self.renderer, device=self.renderer.device_for(self.first_worker + worker)))
        from envs.libero_setup import prepare

        prepare(self.assets)
        import libero.libero.envs  # noqa: F401  # takes seconds, now rather than at the first reset

        import envs.physics

        envs.physics.warm_up()

    def check(self, start: Start) -> None:
        suites.task(start.task)

    def build(self, task: TaskId) -> None:
        from envs.simulation import simulation

        simulation(suites.task(task), self.assets, self.seed, self.shift)

    def make(self, task: TaskId) -> Environment:
        from envs.pooled_env import PooledEnv

        return PooledEnv(
            suites.task(task),
            assets=self.assets,
            render=self.render,
            size=self.size,
            cameras=self.cameras,
            max_steps=self.max_steps,
            seed=self.seed,
            shift=self.shift,
        )
