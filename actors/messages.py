"""What controller, environments and replicas say to each other.

In: grants, to one environment each. Out: events. A fleet of environments, wherever it runs, speaks only
these; of replicas it requests decisions.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from core.types import EpisodeOutcome, Observation, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Permission to begin an episode, or to go on with the one that waits in this environment."""

    slot: int
    """The buffer's slot that the chunk to come will fill; numbered by the evaluator when it asks."""
    episode_id: str
    start: Start
    continues: bool = False
    """Go on with the episode that waits in this environment, instead of beginning one."""
    evaluate: bool = False
    """Report only the outcome."""
    greedy: bool = False
    """Take the likeliest tokens instead of sampling."""
    record: bool = False
    """Keep a video of the episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One decision that is asked for."""

    observation: Observation
    greedy: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An environment is free for a new episode."""

    env: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A chunk is complete. Without `outcome` its episode waits for another grant."""

    env: int
    slot: int
    episode_id: str
    start: Start
    chunk: Any
    """The `TrajectoryChunk`, or a reference to it in the object store."""
    num_decisions: int
    num_steps: int
    """Environment steps taken during this chunk."""
    outcome: EpisodeOutcome | None
    recorded: bool
    """Whether a video is being kept."""
    decision_s: float = 0.0
    """Seconds that this chunk's environment waited for decisions."""
    step_s: float = 0.0
    """Seconds that it took to play them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """An evaluation episode has ended."""

    env: int
    slot: int
    outcome: EpisodeOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """An open episode was lost; nothing of its slot will ever be delivered."""

    env: int
    slot: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An environment broke and is being restarted."""

    env: int
    reason: str


Event = Idle | Sealed | Evaluated | Dropped | Failed


class Fleet(Protocol):
    """Environments that drive themselves: given a grant, one plays until its chunk is sealed."""

    def go(self, env: int, grant: Grant) -> None:
        """Hand a grant to an idle (or waiting) environment; returns at once."""

    def poll(self, timeout_s: float) -> list[Event]:
        """What happened; waits up to `timeout_s` for the first event."""

    def close(self) -> None:
        """Stop everything."""
