"""What the loop must stand: hundreds of updates, and the death of any of its processes; and that it computes
what it should.

In: a policy folder for the long run; the other rows are verdicts of the project's own tests. Out: rows.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.processes import watched_run
from benchmarks.report import Row, below

NUM_UPDATES = 200
MEMORY_WORDS = (
    "policy.lora_rank=4",
    "run.checkpoint_every=50",
    "run.video_every=20",
    "eval.episodes_per_task=1",
    "eval.videos=0",
    "env.tasks=[0]",
    "env.assets=primitive",
    "env.max_steps=12",
    "env.envs_per_actor=4",
    "env.workers_per_actor=2",
    "engine.max_num_seqs=4",
    "learner.decisions_per_update=12",
    "learner.minibatch_size=6",
    "learner.microbatch_size=3",
    "learner.epochs=1",
    "critic.warmup_updates=0",
)
EXACT = {
    "advantages and losses against independent ones, 1e-6": (
        "tests/learner/test_advantages.py",
        "tests/learner/test_losses.py",
    ),
    "gradient: micro-batches of 1 against one batch, 1e-5": ("tests/learner/test_update.py",),
    "gradient: two ranks against one, 1e-5": ("tests/learner/test_ranks.py",),
    "a regression test for each known mistake": ("tests/learner/test_known_mistakes.py",),
    "inline: resumed equals uninterrupted": ("tests/cluster/test_inline.py",),
}
DRILLS = {
    "kill -9: worker, EnvActor, replica, learner in turn": (
        "tests/cluster/test_local.py::test_everything_killed_in_turn_and_the_run_completes",
    ),
    "kill -9: the driver; at most one interval lost": (
        "tests/cluster/test_local.py::test_a_killed_driver_loses_at_most_one_checkpoint_interval",
    ),
    "a node leaves and returns; a job is submitted": ("tests/cluster/test_cluster.py",),
}


def exactness_rows() -> list[Row]:
    """Tolerances are in the tests."""
    return [_verdict(name, tests) for name, tests in EXACT.items()]


def drill_rows() -> list[Row]:
    """Each starts real runs and kills their processes."""
    return [_verdict(name, tests) for name, tests in DRILLS.items()]


def memory_row(policy: Path, scratch: Path) -> Row:
    """Largest growth of any process between the second quarter of the updates and the last."""
    words = [f"policy.checkpoint={policy}", *MEMORY_WORDS]
    _, memory = watched_run(words, scratch, "endurance", NUM_UPDATES)
    growths = {name: growth for name, looks in memory.items() if (growth := _growth(looks)) is not None}
    assert growths, "no process lived long enough to be measured"
    worst = max(growths, key=lambda name: growths[name])
    note = ", ".join(f"{name} {growth:+.1f}" for name, growth in sorted(growths.items()))
    return below(f"memory after {NUM_UPDATES} updates, MB more, {worst}", growths[worst], 10, note)


def _growth(looks: list[tuple[int, float]]) -> float | None:
    """MB per 100 updates, by the medians of two quarters; None for a process that was not there all along."""
    quarters = [
        [megabytes for update, megabytes in looks if low * NUM_UPDATES <= update < high * NUM_UPDATES]
        for low, high in ((0.25, 0.5), (0.75, 1.0))
    ]
    if not all(quarters):
        return None
    before, after = map(np.median, quarters)
    return float(after - before)


def _verdict(name: str, tests: tuple[str, ...]) -> Row:
    """How many of these tests fail."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "slow or not slow",
        *tests,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = sum(line.startswith(("FAILED", "ERROR")) for line in done.stdout.splitlines())
    failed = max(failed, int(done.returncode != 0))
    summary = (
        done.stdout.strip().splitlines()[-1].strip("= ") if done.stdout.strip() else "pytest said nothing"
    )
    return below(name, failed, 1, summary)
