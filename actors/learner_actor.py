"""One learner rank under Ray: a thin shell around `Learner`.

In: references to chunks, which it reads from the object store itself. Out: reports, adapters, checkpoints.
All ranks are called alike, in the same order: what they do is done together. torch and DeepSpeed are imported
where a rank begins: the controller only names the class.
"""

import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from ray.exceptions import ObjectLostError, RayActorError

from actors.busy import Busy
from actors.gpus import refuse_unusable_gpu
from core.config import Config
from core.types import Adapter, Observation, RewardScores, TrajectoryChunk
from learner.batch import RewardFunction

if TYPE_CHECKING:
    from learner.learner import LoadReport, UpdateReport


class LearnerActor:
    """Made with `begin`; `watch` has a thread of its own."""

    def __init__(self, config: Config, reward_function: RewardFunction) -> None:
        self._config, self._reward_function = config, reward_function
        self._chunks: dict[int, TrajectoryChunk] = {}
        self._busy = Busy()

    def address(self) -> tuple[str, int]:
        """Where the ranks can meet, if this is the first of them."""
        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def begin(self, rank: int, size: int, address: str, port: int) -> int:
        """Join the others and load the model; answers with the process id."""
        import torch

        from learner.build import build_learner
        from learner.deepspeed_engine import join_ranks

        refuse_unusable_gpu()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        ranks = join_ranks(rank, size, address, port, device)
        self._learner = build_learner(self._config, ranks=ranks, reward_function=self._reward_function)
        self._learner.engine.model.register_forward_pre_hook(lambda *_: self._busy.begin_next())
        return os.getpid()

    @ray.method(concurrency_group="watch")
    def watch(self) -> None:
        """Never returns; the call fails when this process dies."""
        threading.Event().wait()

    @ray.method(concurrency_group="ping")
    def ping(self) -> float:
        """Answers at once, whatever the rank does: seconds since its call, or model's last pass, began."""
        return self._busy.seconds

    def fetch(self, references: list[Any]) -> list[int]:
        """Read chunks; which of them are there. Fault-tolerance point: one may have died with its actor."""
        self._chunks = {}
        for index, reference in enumerate(references):
            try:
                self._chunks[index] = ray.get(reference)
            except (ObjectLostError, RayActorError):
                continue
        return list(self._chunks)

    def update(self, indexes: list[int], scores: dict[str, RewardScores]) -> "UpdateReport":
        """One update on the fetched chunks that every rank has; scores go by the chunks' ids."""
        chunks = [self._chunks[index] for index in indexes]
        self._chunks = {}
        with self._busy:
            return self._learner.update(chunks, scores)

    @ray.method(num_returns=2)
    def adapter(self) -> tuple[Adapter | None, bool]:
        """The first rank's adapter, and a sign that it is there that is cheap to look at."""
        with self._busy:
            adapter = self._learner.adapter()
        return (adapter if self._learner.ranks.rank == 0 else None), True

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        with self._busy:
            return self._learner.probe(observations, tokens_BA)

    def save(self, root: Path, extra: dict[str, Any], keep: int) -> None:
        with self._busy:
            self._learner.save(root, extra, keep=keep)

    def load(self, root: Path, version: int) -> "tuple[int, LoadReport]":
        """Updates done, and what was found. Versions are not counted back below `version`."""
        with self._busy:
            found = self._learner.load(root)
        self._learner.version = max(self._learner.version, version)
        return self._learner.number, found
