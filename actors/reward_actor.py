"""The process reward model under Ray: a thin shell around `Scorer`.

In: references to sealed chunks, which it reads from the object store itself. Out: scores only.
torch is imported where the actor is made: the controller only names the class.
"""

import os
import threading
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from actors.restarts import again_if_restarted
from core.types import RewardScores


class RewardActor:
    """One model; `watch` has a thread of its own."""

    def __init__(self, checkpoint: Path, policy_view: tuple[int, int, int], batch_size: int) -> None:
        with again_if_restarted():
            import torch

            from reward.checkpoint import load_reward_model
            from reward.scoring import Scorer

            torch.set_num_threads(1)
            model = load_reward_model(checkpoint)
            self._scorer = Scorer(model, policy_view=policy_view, batch_size=batch_size)

    def version(self) -> str:
        """Answers once the model is loaded."""
        return self._scorer.version

    def pid(self) -> int:
        return os.getpid()

    @ray.method(concurrency_group="watch")
    def watch(self) -> None:
        """Never returns; the call fails when this process dies."""
        threading.Event().wait()

    def score(self, references: list[Any]) -> RewardScores | None:
        """Scores of the one chunk in the list. Fault-tolerance point: None if it died with its actor."""
        try:
            (chunk,) = ray.get(references)
        except (ObjectLostError, RayActorError):
            return None
        return self._scorer.score(chunk)
