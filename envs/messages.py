"""What an `EnvPool` and its worker processes say to each other over their pipes."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from core.types import Start


class FailureKind(Enum):
    """Why an environment's episode is lost."""

    DIED = "died"
    """The worker process ended."""
    HUNG = "hung"
    """The worker process missed a deadline and was killed."""
    NOT_FINITE = "not_finite"
    """The simulated state became NaN or infinite."""
    RAISED = "raised"
    """The environment raised an exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Pool to worker: begin an episode."""

    env: int
    start: Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Pool to worker: take these steps, then one frame."""

    env: int
    actions: np.ndarray
    """(K, 7) float64, finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Worker to pool: the request succeeded, and the environment's slot holds the new frame."""

    env: int
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """Worker to pool: this one environment broke; the worker's others are well."""

    env: int
    kind: FailureKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Worker to pool, once and before anything else: all that takes a fresh process time is done."""


Request = Reset | Step
Reply = Done | Raised
