"""Disturbed actions, so that demonstrations show states off the straight path and how to get back from them.

In: a clean command. Out: the action to execute. Noise is held for some steps, since white noise averages
out, and it is weak where fingers and object nearly touch. Now and then, on the way to the object, the arm
is shoved down and aside; the expert then looks anew.
"""

import numpy as np

from envs.expert.motion import Command

SHARE = {"descend": 0.45, "lower": 0.45, "grasp": 0.1, "release": 0.1, "done": 0.0}
"""How much of the noise each phase gets; all of it elsewhere."""
HOLD_CHANCE = 0.85
"""Chance that the noise of one step stays for the next."""
SHOVE_CHANCE, SHOVE_STEPS = 0.06, 6
"""Per step of an approach at full noise, and how long it lasts."""


class Noise:
    """`level` is the largest standard deviation of the translation; each episode draws its own below it."""

    def __init__(self, level: float, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._level = level * self._random.uniform()
        self._push = np.zeros(3)
        self._shove, self._shove_steps_left = np.zeros(3), 0

    def disturb(self, command: Command) -> np.ndarray:
        """(7,) the command's action, with its translation disturbed."""
        if self._level == 0:
            return command.action
        if self._random.random() > HOLD_CHANCE:
            self._push = self._random.normal(0, self._level, 3)
        executed = command.action.copy()
        executed[:3] += SHARE.get(command.phase, 1.0) * self._push + self._shoved(command.phase)
        return executed

    def _shoved(self, phase: str) -> np.ndarray:
        if phase not in ("approach", "descend"):
            self._shove_steps_left = 0
        elif self._shove_steps_left > 0:
            self._shove_steps_left -= 1
        elif phase == "approach" and self._random.random() < SHOVE_CHANCE * self._level:
            self._shove_steps_left = SHOVE_STEPS
            aside = self._random.normal(0, 0.8, 2)
            self._shove = np.append(aside, self._random.uniform(-1.2, 0))
        return self._shove if self._shove_steps_left else np.zeros(3)
