"""A scripted expert that sees everything. In: a freshly reset environment. Out: one action after another."""

from dataclasses import dataclass

import numpy as np

from envs.expert.motion import Command
from envs.expert.noise import Noise
from envs.expert.plan import solve
from envs.expert.world import Simulated, World

IDLE = Command("done", np.array([0, 0, 0, 0, 0, 0, -1.0]))


@dataclass(frozen=True, slots=True)
class ExpertAction:
    """What to do in one state, twice."""

    clean: np.ndarray
    """(7,) float64: what the expert means; the label to imitate."""
    executed: np.ndarray
    """(7,) float64: what it does; the same without noise."""
    phase: str
    """What it is for: approach, descend, grasp, lift, carry, lower, release, retreat, ..., done."""


class Expert:
    """For one episode: make it after the reset, call `act()` before every step."""

    def __init__(self, env: Simulated, *, noise: float = 0.0, seed: int = 0) -> None:
        world = World(env)
        goals = [tuple(goal) for goal in world.problem.parsed_problem["goal_state"]]
        self._skill = solve(world, goals)
        self._noise = Noise(noise, seed)
        self.phase = "start"

    @property
    def done(self) -> bool:
        """Nothing is left to do, or it gave up."""
        return self.phase == IDLE.phase

    def act(self) -> ExpertAction:
        command = next(self._skill, IDLE)
        self.phase = command.phase
        executed = self._noise.disturb(command)
        return ExpertAction(command.action.clip(-1, 1), executed.clip(-1, 1), command.phase)
