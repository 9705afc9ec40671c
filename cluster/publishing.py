"""Weights on their way from the learner to the replicas, and the proof that they arrived.

In: a learner that has changed. Out: every replica serves its new adapter, and a few numbers about it. The
proof: replicas answer a fixed observation, and the learner computes the log-probabilities of their tokens
itself. Both must agree now, and the learner's own must differ from what they were.
"""

import time
from dataclasses import dataclass

import numpy as np

from cluster.parts import LearnerPart, ReplicasPart
from core.types import Decision, Observation

NUM_PROBES = 8
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.2}
"""Mean difference of log-probabilities that rounding explains, by the coarser of both sides' dtypes.
Neighbouring bfloat16 logits above 16 are 0.125 apart, so single tokens may well differ by more.
"""


class WeightsError(RuntimeError):
    """A replica does not serve what the learner has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What both sides are asked about; any frames and tokens show whether they hold the same weights."""

    observations: list[Observation]
    tokens: np.ndarray
    """(B, A) int32: fixed action tokens, so that the learner's opinion can be compared over time."""

    @classmethod
    def make(
        cls, view_shape: tuple[int, int, int], instruction: str, action_ids: range, num_action_tokens: int
    ) -> "Probes":
        """Fixed noise."""
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (NUM_PROBES, *view_shape), dtype=np.uint8)
        return cls(
            observations=[Observation(frame=frame, instruction=instruction) for frame in frames],
            tokens=rng.integers(action_ids.start, action_ids.stop, (NUM_PROBES, num_action_tokens), np.int32),
        )


class Publisher:
    """Publishes adapters and checks each on a probe."""

    def __init__(
        self, learner: LearnerPart, replicas: ReplicasPart, probes: Probes, *, dtypes: set[str]
    ) -> None:
        self._learner = learner
        self._replicas = replicas
        self._probes = probes
        self._tolerance = max(TOLERANCE[dtype] for dtype in dtypes)
        self._before_BA: np.ndarray | None = None

    def publish(self) -> dict[str, float]:
        """Push, then compare. A replica that disagrees is pushed to once more before the run is stopped."""
        started = time.perf_counter()
        refused = self._push()
        pushed = time.perf_counter()
        error = self._error()
        if not error <= self._tolerance:
            self._push()
            error = self._error()
        if not error <= self._tolerance:
            raise WeightsError(
                f"after a push a replica's log-probabilities differ from the learner's by {error:.2e}, "
                f"more than {self._tolerance:g}: it would gather data of another policy"
            )
        return {
            "weights/refused": float(refused),
            "weights/probe_error": error,
            "weights/probe_change": self._change(),
            "time/push_s": pushed - started,
            "time/publish_s": time.perf_counter() - started,
        }

    def _push(self) -> bool:
        """Export and push; whether it was refused once. A second export tells a bad copy from bad weights."""
        try:
            self._replicas.publish(self._learner.adapter())
        except ValueError:
            try:
                self._replicas.publish(self._learner.adapter())
            except ValueError as error:
                raise WeightsError(
                    f"the replicas refuse the learner's weights: {error}. Resume the run from its last "
                    "checkpoint, with a smaller learner.lr"
                ) from error
            return True
        return False

    def _error(self) -> float:
        """Mean difference of what a replica and the learner say of its own tokens; of the worst replica."""
        answers = self._replicas.probe(self._probes.observations)
        return float(np.max([self._error_of(decisions) for decisions in answers]))  # NaN stays NaN

    def _error_of(self, decisions: list[Decision]) -> float:
        tokens_BA = np.stack([decision.tokens for decision in decisions])
        served_BA = np.stack([decision.logprobs for decision in decisions])
        return float(np.abs(self._learner.probe(self._probes.observations, tokens_BA) - served_BA).mean())

    def _change(self) -> float:
        """How much the learner's opinion of the fixed tokens has moved since the last time; zero at first."""
        now_BA = self._learner.probe(self._probes.observations, self._probes.tokens)
        before_BA = now_BA if self._before_BA is None else self._before_BA
        self._before_BA = now_BA
        return float(np.abs(now_BA - before_BA).max())
