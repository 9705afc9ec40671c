"""Whole runs that must become better: the real loop, on the easiest thing there is to learn."""

from pathlib import Path
from statistics import fmean

import pytest

from actors.episode import Episode
from cli.main import main
from core.metrics import read_lines
from policy.checkpoint import load_config

NUM_UPDATES, PART = 12, 4
"""Compared are the first `PART` updates in which the policy learns, and the last."""
STEPS_PER_DECISION = 4


@pytest.fixture
def paid_for_reaching_forward(monkeypatch: pytest.MonkeyPatch, tiny_policy: Path) -> None:
    """Instead of success, which random weights never have: 1 for a decision that begins with forward."""
    ids, earn = load_config(tiny_policy).action_ids, Episode.earn
    middle = (ids.start + ids.stop) // 2

    def paid(self: Episode, reward: float, num_steps: int) -> None:
        forward = self.decisions[-1].tokens[0] < middle  # low ids are high values
        earn(self, float(forward), num_steps)

    monkeypatch.setattr(Episode, "earn", paid)


@pytest.mark.usefixtures("signals", "paid_for_reaching_forward")
def test_what_is_paid_for_is_done_more_often(short_run: list[str], tmp_path: Path) -> None:
    """By chance half of all decisions do: 0.5, with a spread of 0.025 over the updates of one part."""
    words = [
        *short_run,
        "run.mode=inline",
        "run.name=learns",
        f"run.num_updates={NUM_UPDATES}",
        "critic.kind=pooled",
        "critic.warmup_updates=1",
        "env.envs_per_actor=8",
        "env.workers_per_actor=2",
        "learner.decisions_per_update=96",
        "learner.minibatch_size=32",
        "learner.microbatch_size=32",
        "learner.epochs=2",
        "learner.lr=6e-3",
        "advantage.lam=0.5",
    ]
    assert main(["train", *words]) == 0
    paid = [
        STEPS_PER_DECISION * line["rollout/return"] / line["rollout/episode_steps"]
        for line in read_lines(tmp_path / "learns" / "metrics.jsonl")
    ]
    first, last = fmean(paid[1 : 1 + PART]), fmean(paid[-PART:])
    assert last > first + 0.08, paid
