"""What each of two learner processes does for test_ranks: the same jobs under every ZeRO stage, noted down.

In: configuration, chunks, a checkpoint of a single rank. Out: files in a folder, written by rank 0.
"""

import json
import os
import sys
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from core.config import Config, CriticKind
from core.types import TrajectoryChunk
from learner.batch import environment_rewards
from learner.build import build_learner
from learner.deepspeed_engine import join_ranks
from learner.distributed import Ranks
from learner.learner import Learner
from tests.learner.trajectories import gradient_of_only_step, largest_difference, make_single_step

STAGES = (1, 2, 3)


def run_rank(
    rank: int, port: int, config: Config, chunks: list[TrajectoryChunk], saved: Path, folder: Path
) -> None:
    """One process from beginning to end, and it makes the end itself: threads of gloo and DeepSpeed now and
    then abort a process that Python takes apart, after `destroy_process_group` too.
    """
    ranks = join_ranks(rank, 2, "127.0.0.1", port, "cpu")
    for stage in STAGES:
        config.learner.zero_stage = stage
        skipped, gradient = _skip_then_gradient(config, ranks, chunks)
        continued, difference = _continue_and_resume(config, ranks, chunks, saved, folder / f"resume-{stage}")
        notes = {"shares": _shares(ranks), "skipped": skipped, "resume_difference": difference}
        if rank == 0:
            (folder / f"notes-{stage}.json").write_text(json.dumps(notes))
            np.savez(folder / f"gradient-{stage}.npz", **gradient)
            np.savez(folder / f"continued-{stage}.npz", **continued)
    pooled = with_pooled_critic(config, ranks, chunks)
    np.savez(folder / f"pooled-{rank}.npz", **pooled)
    ranks.wait_for_all()
    sys.stdout.flush()
    os._exit(0)


def with_pooled_critic(
    config: Config, ranks: Ranks | None, chunks: list[TrajectoryChunk]
) -> dict[str, np.ndarray]:
    """Policy and critic after two updates of which the second uses what the first taught the critic."""
    config = deepcopy(config)
    config.critic.kind, config.learner.train_share = CriticKind.POOLED, 0.5
    learner = build_learner(config, ranks=ranks)
    for _ in range(2):
        learner.update(chunks, {})
    assert learner.critic is not None
    head = {name: part.numpy() for name, part in learner.critic.state().items() if name.startswith("head/")}
    return learner.adapter().tensors | head


def _shares(ranks: Ranks) -> list[float]:
    """How often each of five rows counts, over both ranks."""
    rows, weights = ranks.share(np.arange(5))
    counts = np.zeros(5)
    np.add.at(counts, rows, weights)
    return ranks.sum(counts).tolist()


def _skip_then_gradient(
    config: Config, ranks: Ranks, chunks: list[TrajectoryChunk]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """An update whose losses overflow float32, then a good one, whose gradient must not know of the first."""
    config = deepcopy(config)
    make_single_step(config)
    learner = build_learner(config, ranks=ranks)
    learner.reward_function = lambda chunk, _: np.full(chunk.num_decisions, 1e200)
    metrics = learner.update(chunks, {}).metrics
    factors = [array for name, array in learner.adapter().tensors.items() if "lora_B" in name]
    skipped = {
        "steps": metrics["learner/steps_skipped"],
        "moved": float(sum(np.abs(f).sum() for f in factors)),
    }
    learner.reward_function = environment_rewards
    learner.update(chunks, {})
    return skipped, gradient_of_only_step(learner)


def _save_where_nothing_can_be_written(learner: Learner, root: Path) -> None:
    """As on a full disk: the rank that writes says so, and the other does not wait for ever."""
    root.touch()
    with pytest.raises(FileExistsError) if learner.ranks.rank == 0 else nullcontext():
        learner.save(root, {}, keep=1)


def _continue_and_resume(
    config: Config, ranks: Ranks, chunks: list[TrajectoryChunk], saved: Path, root: Path
) -> tuple[dict[str, np.ndarray], float]:
    """The adapter one update after a single process's checkpoint; and how far a resume is from going on."""
    learner = build_learner(config, ranks=ranks)
    learner.load(saved)
    learner.update(chunks, {})
    continued = learner.adapter().tensors
    _save_where_nothing_can_be_written(learner, root.with_suffix(".file"))
    learner.save(root, {}, keep=1)
    resumed = build_learner(config, ranks=ranks)
    resumed.load(root)
    for each in (learner, resumed):
        each.update(chunks, {})
    return continued, largest_difference(learner.adapter().tensors, resumed.adapter().tensors)
