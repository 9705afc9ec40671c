"""One test for each known mistake of the paper's public code and of its peers that a learner can make.

Each names the mistake, and fails on code that makes it. That advantages are normalised over all ranks and not
per rank is shown in test_ranks: two ranks could not make the gradient of one otherwise.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import Config, CriticKind, RatioLevel
from core.types import TrajectoryChunk
from learner.batch import ModelInputs, build_batch, minibatches
from learner.build import build_learner
from learner.critic import Pass
from learner.distributed import Ranks
from learner.learner import Learner
from learner.losses import policy_loss, value_clipped, value_loss
from learner.targets import Targets, make_targets
from learner.update import evaluate_views
from tests.learner.trajectories import (
    TERMINATED,
    TRUNCATED,
    UNFINISHED,
    as_acted_by,
    make_chunk,
    make_chunks,
)


def values_of(learner: Learner, inputs: ModelInputs) -> torch.Tensor:
    with torch.no_grad():
        return learner.engine(inputs, Pass.VALUE)["values"]


def with_random_value_head(learner: Learner) -> Learner:
    """It starts at zero, where nothing could be told apart."""
    torch.manual_seed(1)
    torch.nn.init.normal_(learner.engine.model.value_head.out.weight)
    return learner


def targets_of(learner: Learner, chunks: list[TrajectoryChunk]) -> Targets:
    batch = build_batch(chunks, {}, prompt_ids=learner.processor.prompt_ids)
    return make_targets(
        batch, evaluate_views(learner.engine, Ranks(), batch, learner.config), learner.config.advantage
    )


@pytest.mark.parametrize("level", RatioLevel)
def test_the_ratio_is_always_one(config: Config, level: RatioLevel) -> None:
    """Mistake: the old log-probabilities are overwritten by the new ones, so nothing is ever clipped."""
    config.learner.ratio, config.learner.epochs = level, 4
    learner = build_learner(config)
    metrics = learner.update(make_chunks(learner), {}).metrics
    assert metrics["learner/kl"] > 0
    assert metrics["learner/clip_fraction_low"] + metrics["learner/clip_fraction_high"] > 0


def test_the_engines_log_probabilities_are_taken_for_the_learners(config: Config) -> None:
    """Mistake: no weight between the policy that acted, versions ago, and the one being improved."""
    learner = build_learner(config)
    chunks = make_chunks(learner)
    stale = [replace(chunk, logprobs=chunk.logprobs - 0.5) for chunk in chunks]  # it acted half as likely
    metrics = learner.update(stale, {}).metrics
    assert metrics["learner/importance_weight"] == pytest.approx(np.exp(0.5), rel=1e-3)
    assert metrics["learner/importance_capped"] == 0


@pytest.mark.parametrize("critic", [CriticKind.SHARED, CriticKind.ADAPTER])
def test_the_critic_reads_a_padding_position(config: Config, critic: CriticKind) -> None:
    """Mistake: the value is read from the last position of the padded batch."""
    config.critic.kind = critic
    learner = with_random_value_head(build_learner(config))
    chunks = [make_chunk(learner.processor, episode, 2) for episode in (0, 1)]
    prompts = [learner.processor.prompt_ids(chunk.instruction) for chunk in chunks]
    assert len(prompts[0]) < len(prompts[1])
    together = ModelInputs(
        prompts=prompts,
        frames=np.stack([chunk.frames[0] for chunk in chunks]),
        tokens=np.stack([chunk.tokens[0] for chunk in chunks]),
    )
    alone = ModelInputs(prompts=prompts[:1], frames=together.frames[:1], tokens=together.tokens[:1])
    torch.testing.assert_close(values_of(learner, alone)[0], values_of(learner, together)[0])
    other_picture = replace(alone, frames=together.frames[1:])
    assert (values_of(learner, other_picture) - values_of(learner, alone)).abs().item() > 1e-4
    with torch.no_grad():
        beside_the_policy = learner.engine(together, Pass.BOTH)["values"]
    torch.testing.assert_close(beside_the_policy, values_of(learner, together))


def test_a_time_limit_counts_as_the_end_of_the_task(config: Config) -> None:
    """Mistake: no bootstrap at the step limit, so being slow looks like having failed."""
    learner = with_random_value_head(build_learner(config))
    with torch.no_grad():
        learner.engine.model.value_head.out.bias.fill_(5.0)
    cut = make_chunk(learner.processor, 0, 1, TRUNCATED)
    solved = make_chunk(learner.processor, 0, 1, TERMINATED)
    after = ModelInputs(
        prompts=[learner.processor.prompt_ids(cut.instruction)],
        frames=cut.bootstrap_frame[None],
        tokens=cut.tokens,
    )
    bootstrap = config.advantage.gamma * values_of(learner, after).item()
    assert abs(bootstrap) > 1
    assert targets_of(learner, [cut]).returns[0] == pytest.approx(bootstrap, abs=1e-4)
    assert targets_of(learner, [solved]).returns[0] == pytest.approx(1.0)


def test_a_time_limit_may_be_told_to_mean_failure(config: Config) -> None:
    """By setting alone, and never for a chunk that was merely cut."""
    config.advantage.bootstrap_time_limit = False
    learner = with_random_value_head(build_learner(config))
    with torch.no_grad():
        learner.engine.model.value_head.out.bias.fill_(5.0)
    out_of_time = make_chunk(learner.processor, 0, 1, TRUNCATED)
    only_cut = make_chunk(learner.processor, 0, 1, UNFINISHED)
    assert targets_of(learner, [out_of_time]).returns[0] == pytest.approx(0.0, abs=1e-6)
    assert abs(targets_of(learner, [only_cut]).returns[0]) > 1


def test_accumulation_steps_on_every_micro_batch(config: Config) -> None:
    """Mistake: an optimizer step per micro-batch, so accumulating changes the learning rate."""
    config.learner.epochs, config.learner.minibatch_size, config.learner.microbatch_size = 3, 9, 1
    learner = build_learner(config)
    learner.update(make_chunks(learner), {})  # 27 decisions: 3 minibatches an epoch
    state = learner.engine.optimizer_state()
    assert state["policy/step"] == state["critic/step"] == 9


def test_small_updates_round_away_in_bfloat16(config: Config) -> None:
    """Mistake: LoRA weights kept in bfloat16, whose spacing is wider than a step of 5e-6."""
    config.learner.dtype, config.learner.lr = "bfloat16", 5e-6
    learner = build_learner(config)
    before = learner.adapter().tensors
    chunks = make_chunks(learner)
    for _ in range(3):
        learner.update(chunks, {})
    after = learner.adapter().tensors
    factors = [name for name in before if "lora_A" in name and "language_model" in name]
    moved = np.concatenate([(after[name] != before[name]).ravel() for name in factors])
    rounded = np.concatenate(
        [(_bfloat16(after[name]) != _bfloat16(before[name])).ravel() for name in factors]
    )
    assert moved.mean() > 0.5
    assert rounded.mean() < 0.2  # what would have been left of it


def test_value_clip_fraction_is_taken_from_clipped_values(config: Config) -> None:
    """Mistake: once clipped, no value is outside the range, and the fraction is always zero."""
    assert value_clipped(torch.tensor([1.0, 0.1]), torch.zeros(2), 0.2).tolist() == [1.0, 0.0]
    config.critic.clip, config.critic.lr, config.learner.epochs = 1e-3, 1e-2, 4
    learner = build_learner(config)
    assert learner.update(make_chunks(learner), {}).metrics["learner/value_clip_fraction"] > 0.2


@pytest.mark.parametrize("bad", [200.0, float("inf"), float("nan")])
def test_masked_rows_poison_the_gradient(bad: float) -> None:
    """Mistake: `where(mask, exp(x), 0)`: the forward pass is clean, the gradient is 0 * inf = NaN."""
    log_ratio = torch.tensor([[0.1], [bad]], requires_grad=True)
    values = torch.tensor([0.5, bad], requires_grad=True)
    mask, others = torch.tensor([True, False]), torch.tensor([1.0, bad])
    loss = policy_loss(log_ratio, others, torch.ones(2, 1), 0.2, 0.28, mask)
    loss = loss + value_loss(values, torch.zeros(2), others, 0.1, mask)
    (loss * mask).sum().backward()
    assert torch.isfinite(log_ratio.grad).all()
    assert torch.isfinite(values.grad).all()
    assert log_ratio.grad[0] != 0
    assert log_ratio.grad[1] == 0


def test_minibatches_come_in_the_same_order_every_time() -> None:
    """Mistake: a generator seeded anew in every iteration."""
    rows = np.arange(50, 150)
    orders = {seed: minibatches(rows, 32, seed) for seed in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
    assert len({np.concatenate(order).tobytes() for order in orders.values()}) == 4
    for order in orders.values():
        assert [len(part) for part in order] == [34, 33, 33]  # no small rest
        np.testing.assert_array_equal(np.sort(np.concatenate(order)), rows)
    again = minibatches(rows, 32, (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(orders[0, 0, 1], again, strict=True))


def test_no_minibatch_is_empty() -> None:
    """Mistake: more parts than rows, where a share of the rows makes small minibatches smaller than one."""
    assert [len(part) for part in minibatches(np.arange(3), 0.4, (0, 0, 0))] == [1, 1, 1]


def test_decisions_after_the_end_are_trained_on(config: Config) -> None:
    """Mistake: episodes padded to equal length. Here every row is a decision that was made."""
    learner = build_learner(config)
    chunks = [
        make_chunk(learner.processor, i, n, e) for i, (n, e) in enumerate([(2, TERMINATED), (5, TRUNCATED)])
    ]
    targets = targets_of(learner, [as_acted_by(learner, chunk) for chunk in chunks])
    assert targets.rows.tolist() == [0, 1, 2, 3, 4, 5, 6]  # and not 7, the bootstrap view


def test_a_trajectory_is_trained_on_twice(config: Config) -> None:
    """Mistake: a retried hand-over delivers a chunk again."""
    learner = build_learner(config)
    chunk = make_chunk(learner.processor, 0)
    with pytest.raises(AssertionError, match="twice"):
        learner.update([chunk, chunk], {})


def _bfloat16(array: np.ndarray) -> np.ndarray:
    return torch.from_numpy(array).bfloat16().float().numpy()
