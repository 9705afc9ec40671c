"""Two DeepSpeed ranks under ZeRO 1, 2 and 3 against one process of plain PyTorch. The ranks start once."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.multiprocessing

from core.config import Config
from learner.build import build_learner
from tests.learner.trajectories import full_batch_gradient, largest_difference, make_chunks
from tests.learner.two_ranks import STAGES, run_rank, with_pooled_critic


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one process of plain PyTorch found, and where two ranks left theirs."""

    gradient: dict[str, np.ndarray]
    continued: dict[str, np.ndarray]
    pooled: dict[str, np.ndarray]
    folder: Path

    def notes(self, stage: int) -> dict[str, Any]:
        return json.loads((self.folder / f"notes-{stage}.json").read_text())

    def arrays(self, name: str, number: int) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / f"{name}-{number}.npz"))


@pytest.fixture(scope="module")
def outcome(micro_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("ranks")
    config = _config(micro_policy)
    learner = build_learner(config)
    chunks = make_chunks(
        learner, num_chunks=5
    )  # 22 decisions: minibatches of 11, which two ranks cannot halve
    learner.update(chunks, {})
    learner.save(folder / "saved", {}, keep=1)
    learner.update(chunks, {})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(run_rank, (port, config, chunks, folder / "saved", folder), nprocs=2)
    return Outcome(
        gradient=full_batch_gradient(_config(micro_policy), chunks, microbatch_size=1000),
        continued=learner.adapter().tensors,
        pooled=with_pooled_critic(_config(micro_policy), None, chunks),
        folder=folder,
    )


def _config(micro_policy: Path) -> Config:
    config = Config()
    config.policy.checkpoint, config.policy.lora_rank = str(micro_policy), 4
    config.critic.warmup_updates = 0
    config.learner.epochs = 1
    config.learner.minibatch_size, config.learner.microbatch_size, config.learner.lr = 11, 4, 1e-3
    config.learner.adam_eps = 1e-3  # so that Adam's division does not blow rounding up
    return config


@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_make_the_gradient_of_one(outcome: Outcome, stage: int) -> None:
    """Also after a skipped step, with advantages normalised over both ranks, and in micro-batches of 4."""
    assert largest_difference(outcome.arrays("gradient", stage), outcome.gradient) < 1e-5


@pytest.mark.parametrize("stage", STAGES)
def test_resume_is_exact(outcome: Outcome, stage: int) -> None:
    assert outcome.notes(stage)["resume_difference"] == 0


@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_go_on_where_one_stopped(outcome: Outcome, stage: int) -> None:
    assert largest_difference(outcome.arrays("continued", stage), outcome.continued) < 1e-4


@pytest.mark.parametrize("rank", [0, 1])
def test_a_critic_beside_the_policy_is_alike_on_every_rank(outcome: Outcome, rank: int) -> None:
    assert largest_difference(outcome.arrays("pooled", rank), outcome.pooled) < 1e-4


@pytest.mark.parametrize("stage", STAGES)
def test_steps_that_are_not_finite_are_skipped_by_all(outcome: Outcome, stage: int) -> None:
    assert outcome.notes(stage)["skipped"] == {"steps": 1, "moved": 0}


@pytest.mark.parametrize("stage", STAGES)
def test_every_row_counts_once(outcome: Outcome, stage: int) -> None:
    assert outcome.notes(stage)["shares"] == [1] * 5
