"""What the controller asks of the parts it wires together, whether they run here (inline) or under Ray.

In: nothing. Out: interfaces. A fleet of environments has its own in `actors/messages.py`.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.types import Decision, Observation


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


class Loaded(Protocol):
    """What came out of a checkpoint."""

    @property
    def number(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def extra(self) -> dict[str, Any]: ...
    @property
    def damaged(self) -> list[str]: ...


class LearnerPart(Protocol):
    """The learner, one rank or many."""

    def start(self, payloads: Sequence[Any]) -> None:
        """Begin an update on these chunks (or references to them)."""

    def finished(self) -> Report | None:
        """The report of the update that was begun, or None while it runs."""

    def adapter(self) -> Any:
        """The policy's adapter, or a reference to it."""

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        """(B, A) log-probabilities of these tokens under the learner's weights."""

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        """Write a checkpoint that also holds `extra`."""

    def load(self, root: Path) -> Loaded | None:
        """Go on from the newest sound checkpoint; None where there is none."""

    def close(self) -> None: ...


class ReplicasPart(Protocol):
    """The engines that serve the policy."""

    def publish(self, adapter: Any) -> None:
        """Give every replica this adapter; returns when all serve it."""

    def probe(self, observations: list[Observation]) -> Sequence[list[Decision]]:
        """What each replica answers to these."""

    def close(self) -> None: ...


class Fault(Enum):
    """Kinds of failure, each counted; what is done about each stands in `cluster/supervision.py`."""

    ENVIRONMENT = "environment"
    ENV_ACTOR = "env_actor"
    REPLICA = "replica"
    LEARNER = "learner"
    NODE = "node"


class Mortal(Protocol):
    """A part whose members can die and be mended."""

    fault: Fault

    def lost(self) -> Mapping[int, str]:
        """Members that have died since the last call, and why."""

    def mend(self, member: int) -> None:
        """Bring one back."""
