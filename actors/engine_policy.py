"""The policy served by an engine in this process, for whoever has only environments beside it.

In: observations. Out: decisions. The engine's batches are whatever has been asked when it steps.
"""

from core.types import Decision, Observation
from policy.engine import Engine


class EnginePolicy:
    """A `PolicyClient`; the engine stays its owner's, who may give it other weights."""

    patience_s = 0.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self._engine.submit(key, observation, greedy, seed)

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        """Advance by a token; environments step meanwhile."""
        return self._engine.step()
