"""Small environments and policies that obey the real interfaces, for tests of everything around them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from core.types import Decision, Observation, Start
from envs.messages import FailureKind
from envs.vector import EnvFailed, EnvReady

FRAME_SHAPE = (4, 4, 3)
ACTION_TOKENS = 7


@dataclass(slots=True)
class FakeEnv:
    """Counts its steps. Its frames say who it is: red = environment, green = step, blue = start."""

    number: int
    start: Start | None = None
    steps: int = 0

    def frame(self) -> np.ndarray:
        assert self.start is not None
        frame = np.zeros(FRAME_SHAPE, np.uint8)
        frame[:] = (self.number % 256, self.steps % 256, self.start.number % 256)
        return frame


@dataclass
class FakePool:
    """`Environments` that answer at once, except those that are told to be stuck or broken.

    `plan(start)` says after how many steps an episode ends and whether in success.
    """

    num_envs: int
    plan: Callable[[Start], tuple[int, bool]] = lambda start: (3, True)
    stuck: set[int] = field(default_factory=set)
    breaks_at: dict[int, int] = field(default_factory=dict)
    """Environment to the step at which it breaks, once."""

    def __post_init__(self) -> None:
        self.envs = [FakeEnv(number) for number in range(self.num_envs)]
        self.events: deque[EnvReady | EnvFailed] = deque()
        self.restarted: list[int] = []
        self.closed = False

    def reset(self, env: int, start: Start) -> None:
        self.envs[env] = FakeEnv(env, start)
        self._ready(env, ended=False, success=False)

    def step(self, env: int, actions: np.ndarray) -> None:
        fake = self.envs[env]
        assert fake.start is not None
        assert actions.shape == (1, 7)
        fake.steps += 1
        if self.breaks_at.get(env) == fake.steps:
            del self.breaks_at[env]
            self.events.append(EnvFailed(env=env, kind=FailureKind.RAISED, reason="broke"))
            return
        length, success = self.plan(fake.start)
        self._ready(env, ended=fake.steps == length, success=success)

    def poll(self, timeout_s: float) -> list[EnvReady | EnvFailed]:
        events = list(self.events)
        self.events.clear()
        return events

    def restart(self, env: int) -> None:
        self.restarted.append(env)

    def close(self) -> None:
        self.closed = True

    def _ready(self, env: int, *, ended: bool, success: bool) -> None:
        if env in self.stuck:
            return
        fake = self.envs[env]
        event = EnvReady(
            env=env,
            frame=fake.frame(),
            reward=float(ended and success),
            terminated=ended and success,
            truncated=ended and not success,
            info={"success": ended and success, "num_steps": fake.steps, "proprio": np.zeros(8)},
        )
        self.events.append(event)


@dataclass
class FakePolicy:
    """A `PolicyClient` that answers at the next poll; log-probs tell the version."""

    version: int = 0
    patience_s: float = 0.0
    held: bool = False
    """Keep answers back until this is cleared."""

    def __post_init__(self) -> None:
        self.asked: list[tuple[int, Observation, bool, int]] = []
        self.waiting: list[tuple[int, Decision]] = []

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self.asked.append((key, observation, greedy, seed))
        decision = Decision(
            tokens=np.full(ACTION_TOKENS, seed % 1000, np.int32),
            logprobs=np.full(ACTION_TOKENS, -1.0 - self.version, np.float32),
            version=self.version,
        )
        self.waiting.append((key, decision))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        if self.held:
            return []
        answers, self.waiting = self.waiting, []
        return answers


class FakeView:
    """Shows frames as they are; every action is zero."""

    def view(self, raw_frame: np.ndarray) -> np.ndarray:
        return raw_frame

    def decode(self, tokens_A: np.ndarray) -> np.ndarray:
        return np.zeros((1, 7))
