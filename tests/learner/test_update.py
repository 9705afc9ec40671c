"""One PPO update on a real micro policy in one process: gradients, targets, critics, penalties, accidents."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import AdvantageKind, Config, CriticKind, RatioLevel
from core.types import TrajectoryChunk
from learner.batch import build_batch
from learner.build import build_learner
from learner.critic import Pass
from learner.distributed import Ranks
from learner.learner import Learner, UpdateReport
from learner.metrics import METRICS
from learner.targets import make_targets
from learner.update import evaluate_views
from tests.learner.trajectories import (
    TERMINATED,
    TRUNCATED,
    UNFINISHED,
    as_acted_by,
    full_batch_gradient,
    gradient_of_only_step,
    largest_difference,
    make_chunk,
    make_chunks,
    make_single_step,
)


def policy_norm(learner: Learner) -> float:
    """How far the LoRA factors that start at zero have gone."""
    tensors = learner.adapter().tensors
    return sum(float(np.abs(tensor).sum()) for name, tensor in tensors.items() if "lora_B" in name)


def update(config: Config, chunks: list[TrajectoryChunk], times: int = 1) -> tuple[Learner, UpdateReport]:
    """A new learner, and its report of the last of so many updates on the same chunks."""
    learner = build_learner(config)
    for _ in range(times):
        report = learner.update(chunks, {})
    return learner, report


@pytest.mark.parametrize("level", RatioLevel)
@pytest.mark.parametrize("critic", CriticKind)
def test_micro_batches_of_one_give_the_gradient_of_the_full_batch(
    config: Config, level: RatioLevel, critic: CriticKind
) -> None:
    config.learner.ratio, config.critic.kind = level, critic
    config.learner.entropy_coef = config.learner.kl_coef = 0.1
    chunks = make_chunks(build_learner(config))
    one, full = (full_batch_gradient(config, chunks, microbatch_size=size) for size in (1, 1000))
    assert largest_difference(one, full) < 1e-5


def test_the_order_of_arrival_does_not_matter(config: Config) -> None:
    chunks = make_chunks(build_learner(config))
    one, other = update(config, chunks)[0].adapter(), update(config, chunks[::-1])[0].adapter()
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_good_actions_become_likelier_and_bad_ones_less_likely(config: Config) -> None:
    config.learner.lr = 1e-3
    chunks = make_chunks(build_learner(config))
    learner, _ = update(config, chunks, times=3)
    again = [as_acted_by(learner, chunk) for chunk in chunks]
    change = {
        c.id: float((after.logprobs - c.logprobs).mean()) for c, after in zip(chunks, again, strict=True)
    }
    successes = [change[c.id] for c in chunks if c.terminated]
    failures = [change[c.id] for c in chunks if not c.terminated]
    assert min(successes) > max(failures)


def test_an_update_that_goes_too_far_takes_smaller_steps(config: Config) -> None:
    config.learner.lr, config.learner.epochs, config.learner.minibatch_size = 1e-2, 8, 4
    chunks = make_chunks(build_learner(config))
    metrics = {}
    for target in (0.0, 0.015):
        config.learner.target_kl = target
        metrics[target] = update(config, chunks)[1].metrics
    assert metrics[0.0]["learner/lr"] == pytest.approx(config.learner.lr)
    assert metrics[0.015]["learner/lr"] < 0.5 * config.learner.lr
    assert metrics[0.015]["learner/kl"] < 0.5 * metrics[0.0]["learner/kl"]


def test_every_metric_is_in_the_table(config: Config) -> None:
    config.learner.kl_coef = 0.1
    _, report = update(config, make_chunks(build_learner(config)))
    assert set(report.metrics) == set(METRICS)


def test_lag_is_counted_in_versions(config: Config) -> None:
    learner, report = update(config, make_chunks(build_learner(config)))
    assert (report.version, report.metrics["learner/lag_max"]) == (1, 0)
    report = learner.update(make_chunks(learner), {})
    assert (report.version, report.metrics["learner/lag_max"], report.metrics["learner/lag_mean"]) == (
        2,
        1,
        1,
    )


def test_warmup_trains_the_critic_alone(config: Config) -> None:
    config.critic.warmup_updates = 1
    learner = build_learner(config)
    chunks = make_chunks(learner)
    head = learner.engine.model.value_head.out.weight.clone()
    report = learner.update(chunks, {})
    assert (report.number, report.version, report.policy_changed) == (1, 0, False)
    assert policy_norm(learner) == 0
    assert not torch.equal(head, learner.engine.model.value_head.out.weight)
    report = learner.update(chunks, {})
    assert (report.version, report.policy_changed) == (1, True)
    assert policy_norm(learner) > 0


@pytest.mark.parametrize("critic", [CriticKind.SHARED, CriticKind.ADAPTER])
def test_value_errors_never_move_the_policy(config: Config, critic: CriticKind) -> None:
    """However much they weigh, the policy's gradient is the same."""
    config.critic.kind = critic
    make_single_step(config)
    gradients = []
    for config.critic.coef in (1.0, 100.0):
        learner = build_learner(config)
        with torch.no_grad():
            learner.engine.model.value_head.out.weight.fill_(0.1)
        learner.update(make_chunks(learner), {})
        gradients.append(gradient_of_only_step(learner))
    ours = {f"{name}/exp_avg" for name in learner.engine.model.critic_parameters()}
    light, heavy = ({name: g for name, g in found.items() if name not in ours} for found in gradients)
    assert largest_difference(light, heavy) < 1e-6
    assert largest_difference(*({name: found[name] for name in ours} for found in gradients)) > 0.9


def test_adapter_critic_learns_through_its_own_adapter(config: Config) -> None:
    config.critic.kind, config.critic.lr, config.learner.epochs = CriticKind.ADAPTER, 1e-2, 4
    learner = build_learner(config)
    factors = {n: p for n, p in learner.engine.model.critic_parameters().items() if "lora_B" in n}
    learner.update(make_chunks(learner), {})
    moved = [name for name, parameter in factors.items() if parameter.abs().sum() > 0]
    assert len(moved) > len(factors) / 2


def test_targets_of_every_ending(config: Config) -> None:
    """With gamma = 1, lambda = 1 and a constant value of 2, returns follow from the endings alone."""
    config.advantage.gamma = config.advantage.lam = 1.0
    learner = build_learner(config)
    chunks = [
        make_chunk(learner.processor, i, 3, e) for i, e in enumerate((TERMINATED, TRUNCATED, UNFINISHED))
    ]
    batch = build_batch(chunks, {}, prompt_ids=learner.processor.prompt_ids)
    proximal = evaluate_views(learner.engine, Ranks(), batch, config)
    targets = make_targets(batch, replace(proximal, values=np.full(batch.num_views, 2.0)), config.advantage)
    assert batch.num_views == 3 + 4 + 4
    np.testing.assert_allclose(targets.returns[targets.rows], [1] * 3 + [2] * 6)  # 1 in hand, 2 in prospect
    assert abs(targets.advantages[targets.rows].mean()) < 1e-9
    assert targets.advantages[targets.rows].std() == pytest.approx(1)


@pytest.mark.parametrize("kind", [AdvantageKind.GRPO, AdvantageKind.RLOO])
def test_groups_without_a_difference_are_left_out(config: Config, kind: AdvantageKind) -> None:
    config.advantage.kind = kind
    learner = build_learner(config)
    cases = [
        (0, TERMINATED),
        (0, TRUNCATED),
        (1, TERMINATED),
        (1, TERMINATED),
        (2, TRUNCATED),
        (2, TRUNCATED),
    ]
    chunks = [make_chunk(learner.processor, i, 3, e, start=s) for i, (s, e) in enumerate(cases)]
    report = learner.update([as_acted_by(learner, chunk) for chunk in chunks], {})
    assert report.policy_changed
    assert report.metrics["learner/decisions"] == 6  # of group 0; group 1 all passed, group 2 all failed
    assert report.metrics["learner/decisions_uninformative"] == 12
    assert "learner/value_loss" not in report.metrics


def test_nothing_to_learn_from_changes_nothing(config: Config) -> None:
    config.advantage.kind = AdvantageKind.GRPO
    learner = build_learner(config)
    report = learner.update([make_chunk(learner.processor, 0)], {})
    assert (report.number, report.version, report.policy_changed) == (1, 0, False)
    assert policy_norm(learner) == 0


def test_group_methods_refuse_pieces_of_episodes(config: Config) -> None:
    config.advantage.kind = AdvantageKind.RLOO
    learner = build_learner(config)
    with pytest.raises(ValueError, match="chunk_decisions=0"):
        learner.update([make_chunk(learner.processor, 0, 3, UNFINISHED)], {})


def test_reward_function_takes_the_place_of_the_environments_rewards(config: Config) -> None:
    learner = build_learner(config, reward_function=lambda chunk, scores: chunk.rewards + 5.0)
    config.advantage.gamma = config.advantage.lam = 0.0
    report = learner.update([as_acted_by(learner, make_chunk(learner.processor, 1, 3, TRUNCATED))], {})
    assert report.metrics["learner/return"] == pytest.approx(5.0)


@pytest.mark.parametrize("field", ["logprobs", "rewards"])
def test_a_chunk_with_a_bad_number_is_quarantined_whole(config: Config, field: str) -> None:
    learner = build_learner(config)
    chunks = make_chunks(learner, num_chunks=3)
    poisoned = np.array(getattr(chunks[1], field))
    poisoned[0] = np.nan
    report = learner.update([chunks[0], replace(chunks[1], **{field: poisoned}), chunks[2]], {})
    assert report.metrics["learner/decisions_quarantined"] == chunks[1].num_decisions
    assert report.metrics["learner/decisions"] == chunks[0].num_decisions + chunks[2].num_decisions
    assert all(np.isfinite(tensor).all() for tensor in learner.adapter().tensors.values())


def test_a_step_that_is_not_finite_is_skipped_and_counted(config: Config) -> None:
    """Rewards that are finite here but overflow the model's float32."""
    config.advantage.normalize = False
    learner = build_learner(config, reward_function=lambda chunk, _: np.full(chunk.num_decisions, 1e200))
    report = learner.update(make_chunks(learner), {})
    num_steps = 2 * config.learner.epochs  # 27 decisions in minibatches of about 16
    assert report.metrics["learner/steps_skipped"] == num_steps
    assert (report.version, report.policy_changed) == (0, False)
    assert policy_norm(learner) == 0
    assert all(torch.isfinite(p).all() for p in learner.engine.model.critic_parameters().values())


def test_a_critic_within_the_model_learns_from_every_decision(config: Config) -> None:
    """`train_share` is for policies whose critic is fitted elsewhere."""
    critics = []
    for config.learner.train_share in (1.0, 0.5):
        learner = build_learner(config)
        learner.update(make_chunks(learner), {})
        critics.append(learner.engine.model.critic_parameters())
    assert all(torch.equal(critics[0][name], critics[1][name]) for name in critics[0])


def test_penalty_pulls_back_to_the_starting_policy(config: Config) -> None:
    config.learner.kl_coef = 1.0
    chunks = make_chunks(build_learner(config))
    _, held = update(config, chunks, times=4)
    config.learner.kl_coef = 1e-9
    _, free = update(config, chunks, times=4)
    assert 0 <= held.metrics["learner/kl_reference"] < free.metrics["learner/kl_reference"]


def test_reference_is_the_starting_policy(config: Config) -> None:
    learner = build_learner(config)
    chunks = make_chunks(learner)
    batch = build_batch(chunks, {}, prompt_ids=learner.processor.prompt_ids)
    inputs = batch.inputs(np.arange(4))
    before = learner.engine(inputs, Pass.POLICY)["logprobs"]
    learner.update(chunks, {})
    reference = learner.engine(inputs, Pass.REFERENCE)["logprobs"]
    assert torch.equal(before, reference)
    assert not torch.allclose(learner.engine(inputs, Pass.POLICY)["logprobs"], reference)
