"""The learner as Ray actors: one per rank, driven in step. The only file here that knows Ray.

In: references to chunks and scores, which each rank fetches itself. Out: references to reports and adapters.
A rank that dies takes its group along, since the others wait for it in a collective: `LearnerGroup.result`
raises as soon as any rank fails; whoever supervises closes the group and builds another from a checkpoint.
"""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import ObjectRef

from core.config import Config
from core.types import Adapter, Observation
from learner.batch import RewardFunction, environment_rewards
from learner.learner import Learner, LoadReport, UpdateReport


class LearnerRank:
    """One rank of the group. Every method but `address` is a collective."""

    def address(self) -> tuple[str, int]:
        """Where this rank could be reached by the others, were it the first."""
        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def start(
        self, config: Config, rank: int, address: tuple[str, int], reward_function: RewardFunction
    ) -> None:
        """Join the others and build the model."""
        from learner.build import build_learner, default_device
        from learner.deepspeed_engine import join_ranks

        ranks = join_ranks(rank, config.learner.num_ranks, *address, default_device())
        self._learner: Learner = build_learner(config, ranks=ranks, reward_function=reward_function)

    def update(self, chunks: list[ObjectRef], scores: list[ObjectRef]) -> UpdateReport:
        """One update on all of these chunks; only this rank's share goes through the model here."""
        found = {score.chunk_id: score for score in ray.get(scores)}
        return self._learner.update(ray.get(chunks), found)

    def adapter(self) -> Adapter | None:
        """The policy's LoRA tensors, from rank 0."""
        adapter = self._learner.adapter()
        return adapter if self._learner.ranks.rank == 0 else None

    def probe(self, observations: list[Observation], tokens: np.ndarray) -> np.ndarray:
        """Log-probabilities of these tokens now."""
        return self._learner.probe(observations, tokens)

    def save(self, root: Path, extra: dict[str, Any], keep: int) -> None:
        """Write a checkpoint, from rank 0."""
        self._learner.save(root, extra, keep=keep)

    def load(self, root: Path) -> LoadReport:
        """Continue from the newest whole checkpoint."""
        return self._learner.load(root)


class LearnerGroup:
    """All ranks. Methods return at once; `result` waits, and raises as soon as any rank has failed."""

    def __init__(
        self,
        config: Config,
        *,
        rank_options: list[dict[str, Any]],
        reward_function: RewardFunction = environment_rewards,
    ) -> None:
        """`rank_options`: Ray's placement and resources of each rank."""
        assert len(rank_options) == config.learner.num_ranks
        threads = {"OMP_NUM_THREADS": str(config.learner.num_threads)}
        self.ranks = [
            ray.remote(LearnerRank).options(runtime_env={"env_vars": threads}, **options).remote()
            for options in rank_options
        ]
        address = ray.get(self.ranks[0].address.remote())
        self.started = [
            actor.start.remote(config, rank, address, reward_function)
            for rank, actor in enumerate(self.ranks)
        ]

    def update(self, chunks: list[ObjectRef], scores: list[ObjectRef]) -> list[ObjectRef]:
        """`UpdateReport`."""
        return self._all("update", chunks, scores)

    def adapter(self) -> list[ObjectRef]:
        """`Adapter`; the first reference can go to the replicas without passing through here."""
        return self._all("adapter")

    def probe(self, observations: list[Observation], tokens: np.ndarray) -> list[ObjectRef]:
        """(B, A) log-probabilities."""
        return self._all("probe", observations, tokens)

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> list[ObjectRef]:
        """None, once the checkpoint is on disk."""
        return self._all("save", root, extra, keep)

    def load(self, root: Path) -> list[ObjectRef]:
        """`LoadReport`."""
        return self._all("load", root)

    @staticmethod
    def result(references: list[ObjectRef], timeout_s: float | None = None) -> Any:
        """Rank 0's answer once every rank has answered; `TimeoutError` if that takes longer than allowed."""
        waiting = references
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1, timeout=timeout_s)
            if not done:
                raise TimeoutError(f"no learner rank answered within {timeout_s} s")
            ray.get(done)  # raises what the rank raised
        return ray.get(references[0])

    def close(self) -> None:
        """End every rank."""
        for actor in self.ranks:
            ray.kill(actor)

    def _all(self, method: str, *arguments: Any) -> list[ObjectRef]:
        return [getattr(actor, method).remote(*arguments) for actor in self.ranks]
