"""What each of two learner processes does for test_ranks: the same jobs under every ZeRO stage, noted down.

In: configuration, chunks, a checkpoint of a single rank. Out: files in a folder, written by rank 0.
"""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np

from core.config import Config
from core.types import TrajectoryChunk
from learner.build import build_learner
from learner.deepspeed_engine import join_ranks
from learner.distributed import Ranks
from tests.learner.trajectories import gradient_of_only_step, largest_difference, make_single_step

STAGES = (1, 2, 3)


def run_rank(
    rank: int, port: int, config: Config, chunks: list[TrajectoryChunk], saved: Path, folder: Path
) -> None:
    """One process from beginning to end."""
    ranks = join_ranks(rank, 2, "127.0.0.1", port, "cpu")
    for stage in STAGES:
        config.learner.zero_stage = stage
        notes = {
            "sums_to_parts": _shares_make_the_whole(ranks),
            "resume_difference": _resume_difference(config, ranks, chunks, folder / f"resume-{stage}"),
            "skipped": _skips(config, ranks, chunks),
        }
        gradient = _gradient(config, ranks, chunks)
        continued = _continued(config, ranks, chunks, saved)
        if rank == 0:
            (folder / f"notes-{stage}.json").write_text(json.dumps(notes))
            np.savez(folder / f"gradient-{stage}.npz", **gradient)
            np.savez(folder / f"continued-{stage}.npz", **continued)


def _shares_make_the_whole(ranks: Ranks) -> bool:
    """Five rows over two ranks: each counted once."""
    rows, weights = ranks.share(np.arange(5))
    counts = np.zeros(5)
    np.add.at(counts, rows, weights)
    return len(rows) == 3 and bool((ranks.sum(counts) == 1).all())


def _gradient(config: Config, ranks: Ranks, chunks: list[TrajectoryChunk]) -> dict[str, np.ndarray]:
    config = deepcopy(config)
    make_single_step(config)
    learner = build_learner(config, ranks=ranks)
    learner.update(chunks, {})
    return gradient_of_only_step(learner)


def _resume_difference(config: Config, ranks: Ranks, chunks: list[TrajectoryChunk], root: Path) -> float:
    """Between a learner's next update and that of one made from its checkpoint."""
    learner, resumed = build_learner(config, ranks=ranks), build_learner(config, ranks=ranks)
    learner.update(chunks, {})
    learner.save(root, {}, keep=1)
    resumed.load(root)
    for each in (learner, resumed):
        each.update(chunks, {})
    return largest_difference(learner.adapter().tensors, resumed.adapter().tensors)


def _continued(
    config: Config, ranks: Ranks, chunks: list[TrajectoryChunk], saved: Path
) -> dict[str, np.ndarray]:
    """The adapter one update after another number of ranks had saved its checkpoint."""
    learner = build_learner(config, ranks=ranks)
    learner.load(saved)
    learner.update(chunks, {})
    return learner.adapter().tensors


def _skips(config: Config, ranks: Ranks, chunks: list[TrajectoryChunk]) -> dict[str, float]:
    """An update whose losses overflow, then a good one."""
    config = deepcopy(config)
    config.advantage.normalize = False
    overflowing = build_learner(
        config, ranks=ranks, reward_function=lambda chunk, _: np.full(chunk.num_decisions, 1e200)
    )
    bad = overflowing.update(chunks, {})
    moved = sum(float(np.abs(t).sum()) for n, t in overflowing.adapter().tensors.items() if "lora_B" in n)
    overflowing.reward_function = lambda chunk, _: chunk.rewards
    good = overflowing.update(chunks, {})
    return {
        "steps": bad.metrics["learner/steps_skipped"],
        "moved": moved,
        "steps_after": good.metrics["learner/steps_skipped"],
        "good_after": float(good.policy_changed),
    }
