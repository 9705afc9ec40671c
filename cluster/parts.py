"""What the controller asks of the parts it wires together, whether they run here (inline) or under Ray.

In: nothing. Out: interfaces. A fleet of environments has its own in `actors/messages.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from actors.messages import Fleet
from cluster.scoring import RewardPart
from core.types import Decision, Observation, RewardScores


class Report(Protocol):
    """What one update did; see `learner.learner.UpdateReport`."""

    @property
    def number(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def policy_changed(self) -> bool: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def moments(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came out of the newest sound checkpoint."""

    number: int
    """Updates done."""
    extra: dict[str, Any]
    """What was saved with it."""

    @classmethod
    def nothing(cls) -> "Loaded":
        """A new run."""
        return cls(number=0, extra={})


class LearnerLostError(Exception):
    """The learner died under a call; the supervisor brings it back at its last checkpoint."""


class GivenUpError(RuntimeError):
    """Something that a run needs cannot be mended: it ends, once what it has learned is saved."""


class LearnerPart(Protocol):
    """The learner, one rank or many. Any call may raise `LearnerLostError`."""

    @property
    def number(self) -> int:
        """Updates done."""

    @property
    def damaged(self) -> list[str]:
        """Checkpoints that the last `load` passed over, and why."""

    def start(self, payloads: Sequence[Any], scores: dict[str, RewardScores]) -> None:
        """Begin an update on these chunks (or references to them); scores go by the chunks' ids."""

    def finished(self) -> Report | None:
        """The report of the update that was begun, or None while it runs."""

    def adapter(self) -> Any:
        """The policy's adapter, or a reference to it."""

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        """(B, A) log-probabilities of these tokens under the learner's weights."""

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        """Write a checkpoint that also holds `extra`."""

    def load(self, root: Path) -> Loaded:
        """Go on from the newest sound checkpoint; from the beginning where there is none."""


class ReplicasPart(Protocol):
    """The engines that serve the policy."""

    def publish(self, adapter: Any) -> None:
        """Give every replica this adapter; returns when all serve it."""

    def probe(self, observations: list[Observation]) -> Sequence[list[Decision]]:
        """What each replica answers to these."""


class Fault(Enum):
    """Kinds of failure, each counted; what is done about each stands in `cluster/supervision.py`."""

    ENVIRONMENT = "environment"
    ENV_ACTOR = "env_actor"
    REPLICA = "replica"
    LEARNER = "learner"
    REWARD = "reward"
    NODE = "node"


class Mortal(Protocol):
    """A part whose members can die and be mended."""

    fault: Fault

    def lost(self) -> Mapping[int, str]:
        """Members that have died since the last call, and why."""

    def mend(self, member: int) -> None:
        """Bring one back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a run consists of, apart from its controller."""

    fleet: Fleet
    learner: LearnerPart
    replicas: ReplicasPart
    rewards: RewardPart | None = None
    """The process reward model; None where a run has none."""
    mortals: Sequence[Mortal] = ()
    close: Callable[[], None]
