"""The critic that is fitted to a window of updates: what it reads, learns, forgets and keeps."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config import Config, CriticConfig, CriticKind
from core.types import RewardScores, TrajectoryChunk
from learner.batch import build_batch
from learner.build import build_learner
from learner.distributed import Ranks
from learner.learner import Learner
from learner.targets import Targets, make_targets
from learner.update import evaluate_views
from learner.window_critic import WindowCritic
from policy.model import mean_of_first
from tests.learner.trajectories import (
    TERMINATED,
    TRUNCATED,
    gradient_of_only_step,
    make_chunk,
    make_chunks,
    make_single_step,
)


@pytest.fixture
def config(config: Config) -> Config:
    config.critic.kind = CriticKind.POOLED
    return config


WIDTH = 16


def made(window: int = 8, epochs: int = 40) -> WindowCritic:
    settings = CriticConfig(kind=CriticKind.POOLED, lr=1e-2, window=window, epochs=epochs)
    return WindowCritic(WIDTH, settings, minibatch_size=32, seed=0)


def inputs(number: int, seed: int = 0, *, shift: float = 0.0) -> np.ndarray:
    """What it sees of random views, all at the same time; the first coordinate may lie elsewhere."""
    pooled = np.random.default_rng(seed).normal(size=(number, WIDTH)).astype(np.float32)
    pooled[:, 0] += shift
    return made().seen(pooled, np.zeros(number))


def test_it_starts_at_zero_and_learns_what_came() -> None:
    critic, pooled = made(), inputs(200)
    returns = np.tanh(pooled[:, 0])
    assert not critic.values(pooled).any()
    critic.fit(pooled, returns, (0,))
    assert np.mean((critic.values(pooled) - returns) ** 2) < 0.1 * returns.var()


def test_it_remembers_earlier_updates_and_forgets_those_before_the_window() -> None:
    """The later updates say nothing about where the first one was: only memory keeps it right there."""
    first, others = inputs(64, shift=9), [inputs(64, seed) for seed in (1, 2, 3)]

    def error(window: int) -> float:
        critic = made(window)
        critic.fit(first, np.ones(64), (0,))
        for number, other in enumerate(others):
            critic.fit(other, np.where(other[:, 1] > 0, -1.0, -2.0), (number + 1,))
        return float(np.abs(critic.values(first) - 1).mean())

    assert error(window=4) < 0.3 < 1 < error(window=1)


def test_the_same_picture_is_worth_less_when_little_time_is_left() -> None:
    pooled, clock = np.ones((90, WIDTH), dtype=np.float32), np.arange(90.0) % 45
    critic = made(epochs=200)
    critic.fit(critic.seen(pooled, clock), 1 - clock / 45, (0,))
    values = critic.values(critic.seen(pooled[:2], np.array([0.0, 40.0])))
    assert values == pytest.approx([1, 5 / 45], abs=0.15)


def test_a_long_episode_s_time_does_not_drown_the_picture() -> None:
    seen = made().seen(np.ones((2, WIDTH), dtype=np.float32), np.array([90.0, 520.0]))
    assert np.abs(seen).max() <= 4


def test_the_mean_is_over_the_prompt_and_the_picture_alone() -> None:
    hidden = torch.arange(12.0).reshape(2, 3, 2)
    expected = [[1.0, 2.0], [8.0, 9.0]]  # of the first two positions, of all three
    torch.testing.assert_close(mean_of_first(hidden, torch.tensor([2, 3])), torch.tensor(expected))


def test_padding_and_action_tokens_do_not_matter_to_it(config: Config) -> None:
    """A chunk is pooled alike beside one with a longer prompt, and whatever was done in it."""
    learner = build_learner(config)
    chunks = [make_chunk(learner.processor, episode, 2, TERMINATED) for episode in (0, 1)]
    together, alone = seen_of(learner, config, chunks), seen_of(learner, config, chunks[:1])
    np.testing.assert_allclose(together[:2], alone, rtol=1e-5, atol=1e-6)
    assert not np.allclose(together[0], together[1])


def test_the_time_goes_on_from_one_piece_of_an_episode_to_the_next(config: Config) -> None:
    learner = build_learner(config)
    whole = make_chunk(learner.processor, 0, 6, TRUNCATED)
    rest = replace(
        whole,
        id="episode-000/1",
        index=1,
        first_decision=2,
        **{
            name: getattr(whole, name)[2:] for name in ("frames", "tokens", "logprobs", "versions", "rewards")
        },
    )
    of_whole, of_rest = seen_of(learner, config, [whole]), seen_of(learner, config, [rest])
    np.testing.assert_allclose(of_whole[2:], of_rest, rtol=1e-5, atol=1e-5)


def seen_of(learner: Learner, config: Config, chunks: list) -> np.ndarray:
    batch = build_batch(chunks, {}, prompt_ids=learner.processor.prompt_ids)
    return evaluate_views(learner.engine, Ranks(), batch, config, learner.critic).seen


def test_warmup_fits_it_and_leaves_the_policy_alone(config: Config) -> None:
    config.critic.warmup_updates = 1
    learner = build_learner(config)
    chunks = make_chunks(learner)
    report = learner.update(chunks, {})
    assert (report.policy_changed, report.version) == (False, 0)
    assert report.metrics["learner/value_loss"] > 0
    assert learner.critic.values(seen_of(learner, config, chunks)).any()
    assert learner.update(chunks, {}).policy_changed


def test_metrics_say_what_came_whatever_it_believed(config: Config) -> None:
    """λ-returns are mostly its own values: measured by those it would look right however wrong it is."""
    config.advantage.gamma, config.advantage.lam = 0.9, 0.5
    config.advantage.bootstrap_time_limit = False
    learner = build_learner(config)
    assert learner.critic is not None
    with torch.no_grad():
        learner.critic._head.out.bias.fill_(5.0)
    chunk = make_chunk(learner.processor, 0, 3, TRUNCATED)
    report = learner.update([replace(chunk, rewards=np.array([0.0, 0.0, 1.0], np.float32))], {})
    assert report.metrics["learner/return"] == pytest.approx((0.81 + 0.9 + 1.0) / 3)
    assert report.metrics["learner/explained_variance"] == pytest.approx(0.0)
    assert report.metrics["learner/value"] == pytest.approx(5.0)


def test_it_learns_what_came_not_what_it_believed(config: Config) -> None:
    """Out of time is failed: every decision of a failure is worth zero, whatever lambda says."""
    config.advantage.gamma, config.advantage.lam = 1.0, 0.0
    config.advantage.bootstrap_time_limit = False
    config.critic.lr, config.critic.epochs = 1e-2, 200
    config.learner.lr = 1e-6
    learner = build_learner(config)
    chunks = [make_chunk(learner.processor, 0, 6, TERMINATED), make_chunk(learner.processor, 1, 6, TRUNCATED)]
    learner.update(chunks, {})
    values = learner.critic.values(seen_of(learner, config, chunks))
    np.testing.assert_allclose(values[:6], 1, atol=0.1)
    np.testing.assert_allclose(values[6:12], 0, atol=0.1)


def test_of_all_decisions_the_policy_is_trained_on_those_with_the_largest_advantages(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient is that of all decisions, if the weaker half had no advantage."""
    make_single_step(config)

    def rewards(chunk: TrajectoryChunk, _: RewardScores | None) -> np.ndarray:
        number = int(chunk.episode_id.removeprefix("episode-"))
        return np.random.default_rng(number).normal(size=chunk.num_decisions)

    learner, other = (build_learner(config, reward_function=rewards) for _ in range(2))
    chunks = make_chunks(learner)
    num_decisions = sum(chunk.num_decisions for chunk in chunks)

    def weaker_half_silenced(*given: Any) -> Targets:
        targets = make_targets(*given)
        weak = np.argsort(np.abs(targets.advantages[targets.rows]))[: len(targets.rows) // 2]
        targets.advantages[targets.rows[weak]] = 0
        return targets

    with monkeypatch.context() as patch:
        patch.setattr("learner.update.make_targets", weaker_half_silenced)
        learner.update(chunks, {})
    config.learner.train_share = 0.5
    metrics = other.update(chunks, {}).metrics
    silenced, halved = gradient_of_only_step(learner), gradient_of_only_step(other)
    for name in silenced:
        np.testing.assert_allclose(
            halved[name], silenced[name] * num_decisions / math.ceil(num_decisions / 2), rtol=1e-4, atol=1e-7
        )
    assert metrics["learner/decisions"] == num_decisions
    for name, part in learner.critic.state().items():  # the critic learns from all of them
        assert torch.equal(part, other.critic.state()[name])


def test_a_checkpoint_keeps_the_window(config: Config, tmp_path: Path) -> None:
    learner = build_learner(config)
    learner.update(make_chunks(learner), {})
    learner.save(tmp_path, {}, keep=1)
    resumed = build_learner(config)
    resumed.load(tmp_path)
    ours, theirs = learner.critic.state(), resumed.critic.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_another_kind_of_critic_cannot_go_on(config: Config, tmp_path: Path) -> None:
    learner = build_learner(config)
    learner.update(make_chunks(learner), {})
    learner.save(tmp_path, {}, keep=1)
    config.critic.kind = CriticKind.SHARED
    with pytest.raises(ValueError, match=r"critic\.kind"):
        build_learner(config).load(tmp_path)
