"""Whole runs in this process: real environments, real policy, real learner, the real command line."""

import re
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from core.metrics import read_lines
from drills.__main__ import make_reward_model

INLINE = ["run.mode=inline", "env.envs_per_actor=1", "env.workers_per_actor=1", "critic.warmup_updates=1"]
VARYING = (
    "time",
    "time/",
    "rollout/decisions_per_s",
    "rollout/env_steps_per_s",
    "rollout/decision_s",
    "rollout/step_s",
    "learner/decisions_per_s",
    "memory/",
)


def lines(run: Path) -> list[dict[str, Any]]:
    """What must be the same whenever the same run is made."""
    return [
        {name: value for name, value in line.items() if not name.startswith(VARYING)}
        for line in read_lines(run / "metrics.jsonl")
    ]


@pytest.fixture
def rewarding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained policy never succeeds, so that nothing is learned: pay for odd actions instead."""
    from actors.episode import Episode

    earn = Episode.earn

    def paid(self: Episode, reward: float, num_steps: int) -> None:
        earn(self, float(self.decisions[-1].tokens.sum() % 2), num_steps)

    monkeypatch.setattr(Episode, "earn", paid)


@pytest.mark.usefixtures("signals", "rewarding")
def test_a_resumed_run_equals_an_uninterrupted_one(
    short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*short_run, *INLINE]
    assert main(["train", *words, "run.name=whole", "run.num_updates=4"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"update 4/4 \| success .* env-steps/s \| .* decisions/s \| lag .* \| kl .* ETA", output)
    assert "greedy success" in output
    assert main(["train", "--or-resume", *words, "run.name=parts", "run.num_updates=2"]) == 0
    assert main(["train", "--or-resume", *words, "run.name=parts", "run.num_updates=4"]) == 0
    assert [event["update"] for event in events(tmp_path / "parts", "resumed")] == [2]
    whole, parts = lines(tmp_path / "whole"), lines(tmp_path / "parts")
    assert [line["update"] for line in parts] == [1, 2, 3, 4]
    assert parts == whole
    assert whole[-1]["weights/probe_change"] > 0  # something was learned, and arrived
    assert whole[-1]["weights/probe_error"] < 1e-5
    assert_documented(whole[-1] | whole[0])
    assert_judged_by_what_it_never_saw(tmp_path / "parts")


@pytest.mark.usefixtures("signals")
def test_a_reward_model_scores_every_chunk_and_pays(short_run: list[str], tmp_path: Path) -> None:
    """Potentials are paid as the learner sees it: with the same scores, another scale is another return."""
    words = [*short_run, *INLINE, "eval.before=false", "run.num_updates=1", "env.tasks=[0]"]
    scored = [*words, f"reward.checkpoint={make_reward_model(tmp_path / 'model')}"]
    assert main(["train", *words, "run.name=without"]) == 0
    assert main(["train", *scored, "run.name=little", "reward.scale=0.1"]) == 0
    assert main(["train", *scored, "run.name=much", "reward.scale=0.4"]) == 0
    ((without,), (little,), (much,)) = (lines(tmp_path / name) for name in ("without", "little", "much"))
    assert 0 < little["reward/score"] == much["reward/score"] < 1
    assert little["reward/chunks_unscored"] == 0
    assert without["learner/return"] == 0
    assert much["learner/return"] == pytest.approx(4 * little["learner/return"], rel=1e-3)
    assert little["learner/return"] != 0
    assert_documented(little)


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_lines(run / "events.jsonl") if event["kind"] == kind]


def assert_judged_by_what_it_never_saw(run: Path) -> None:
    practised = {event["start"] for event in events(run, "episode")}
    judged = {episode["start"] for event in events(run, "evaluation") for episode in event["episodes"]}
    assert practised
    assert judged
    assert all("/fresh-" in start for start in practised)
    assert all("/published-" in start for start in judged)


def assert_documented(names: dict[str, Any]) -> None:
    table = set(re.findall(r"^\| `([^`]+)`", Path("docs/metrics.md").read_text(), flags=re.MULTILINE))
    written = {re.sub(r"^curriculum/(success|weight)/.*", r"curriculum/\1/TASK", name) for name in names}
    assert written - {"update"} <= table


def test_every_name_of_the_learner_is_documented() -> None:
    from learner.metrics import METRICS

    assert_documented(dict.fromkeys(METRICS))


def test_an_existing_run_is_refused_and_left_alone(
    short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    assert main(["train", *short_run, *INLINE, "run.name=there"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.usefixtures("signals")
def test_a_damaged_checkpoint_is_passed_over_and_named(
    short_run: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*short_run, *INLINE, "run.name=damaged", "run.num_updates=2", "run.checkpoint_every=1"]
    assert main(["train", *words]) == 0
    critic = tmp_path / "damaged/checkpoints/000002/critic.safetensors"
    content = bytearray(critic.read_bytes())
    content[-1] ^= 0xFF
    critic.write_bytes(content)
    assert main(["train", "--resume", str(tmp_path / "damaged"), "run.num_updates=3"]) == 0
    output = capsys.readouterr().out
    assert "passed over a damaged checkpoint: 000002: critic.safetensors" in output
    assert [line["update"] for line in lines(tmp_path / "damaged")] == [1, 2, 3]


@pytest.mark.usefixtures("signals")
def test_a_start_that_fails_leaves_no_folder(short_run: list[str], tmp_path: Path) -> None:
    words = [*short_run, *INLINE, "run.name=wrong", "policy.checkpoint=/no/such/policy"]
    assert main(["train", *words]) == 2
    assert not (tmp_path / "wrong").exists()
