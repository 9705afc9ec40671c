"""The serving engine against the learner's own computation, under many callers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.config import EngineConfig
from core.types import Decision, Observation
from policy.checkpoint import Policy
from policy.engine import Engine
from policy.vllm_layout import num_image_tokens
from tests.policy.conftest import TEMPERATURE
from tests.policy.scoring import (
    RandomAdapters,
    engine_logprobs,
    first_token_entropy,
    learner_logits,
    learner_logprobs,
    run_to_end,
)

TOLERANCE = 1e-5
"""Float32 through two implementations of one network: rounding of sums, about 1e-6 of logits up to 10."""


@pytest.fixture(autouse=True)
def _starting_weights(engine: Engine, adapters: RandomAdapters) -> None:
    engine.update(adapters.nothing())


def test_logprobs_are_the_learners(engine: Engine, micro: Policy, observations: list[Observation]) -> None:
    decisions = engine.act(observations)
    expected = learner_logprobs(micro, observations, decisions, temperature=TEMPERATURE)
    np.testing.assert_allclose(engine_logprobs(decisions), expected, atol=TOLERANCE, rtol=0)


def test_vllm_can_measure_with_dummies_as_it_does_on_a_gpu(engine: Engine, micro: Policy) -> None:
    """On a CPU it never asks for them."""
    from vllm.multimodal import MULTIMODAL_REGISTRY

    processor = MULTIMODAL_REGISTRY.create_processor(engine._vllm.model_config)
    inputs = processor.get_dummy_mm_inputs({"image": 1})
    assert inputs["mm_kwargs"]["image"][0]["frames"].data.shape == micro.config.view_shape
    (place,) = inputs["mm_placeholders"]["image"]
    assert (place.offset, place.length) == (1, num_image_tokens(micro.config))


def test_only_action_ids_are_sampled(engine: Engine, micro: Policy, observations: list[Observation]) -> None:
    for decision in engine.act(observations):
        assert decision.tokens.shape == decision.logprobs.shape == (micro.processor.num_action_tokens,)
        assert decision.tokens.dtype == np.int32
        assert decision.logprobs.dtype == np.float32
        assert decision.version == 0
        assert all(token in micro.config.action_ids for token in decision.tokens.tolist())


def test_greedy_takes_the_most_likely(engine: Engine, micro: Policy, observations: list[Observation]) -> None:
    decisions = engine.act(observations, greedy=True)
    best = learner_logits(micro, observations, decisions).argmax(-1).numpy() + micro.config.action_ids.start
    np.testing.assert_array_equal(np.stack([decision.tokens for decision in decisions]), best)
    expected = learner_logprobs(micro, observations, decisions, temperature=1.0)
    np.testing.assert_allclose(engine_logprobs(decisions), expected, atol=TOLERANCE, rtol=0)


def test_samples_follow_the_reported_distribution(
    engine: Engine, micro: Policy, observations: list[Observation]
) -> None:
    """E[log p] = -H; the mean of 400 draws lies within four standard errors of it."""
    decisions = engine.act([observations[0]] * 400)
    first = engine_logprobs(decisions)[:, 0]
    entropy = first_token_entropy(micro, observations[0], decisions[0], TEMPERATURE)
    assert abs(first.mean() + entropy) < 4 * first.std() / np.sqrt(len(first))


def test_requests_join_a_running_batch(
    engine: Engine, micro: Policy, observations: list[Observation]
) -> None:
    """Callers come one token step after the other, more of them than run at a time, some greedy."""
    done: dict[object, Decision] = {}
    for index, observation in enumerate(observations):
        engine.submit(index, observation, greedy=index % 3 == 0)
        done |= dict(engine.step())
    assert engine.num_waiting > 0
    done |= run_to_end(engine)
    assert sorted(done) == list(range(len(observations)))  # type: ignore[type-var]
    for index, observation in enumerate(observations):
        temperature = 1.0 if index % 3 == 0 else TEMPERATURE
        expected = learner_logprobs(micro, [observation], [done[index]], temperature=temperature)
        np.testing.assert_allclose(done[index].logprobs[None], expected, atol=TOLERANCE, rtol=0)


def test_a_seed_decides_the_sample(engine: Engine, observations: list[Observation]) -> None:
    """Whoever else is in the batch."""
    engine.submit("alone", observations[0], seed=7)
    alone = run_to_end(engine)["alone"]
    for index, observation in enumerate(observations):
        engine.submit(index, observation)
    engine.submit("again", observations[0], seed=7)
    engine.submit("other", observations[0], seed=8)
    done = run_to_end(engine)
    np.testing.assert_array_equal(done["again"].tokens, alone.tokens)
    assert (done["other"].tokens != alone.tokens).any()


@pytest.mark.parametrize("damage", ["size", "dtype", "length"])
def test_bad_observations_are_refused(engine: Engine, observations: list[Observation], damage: str) -> None:
    good = observations[0]
    bad = {
        "size": replace(good, frame=good.frame[1:]),
        "dtype": replace(good, frame=good.frame.astype(np.float32)),
        "length": replace(good, instruction="pick up the bowl " * 100),
    }[damage]
    with pytest.raises(ValueError, match=r"uint8|tokens"):
        engine.submit(0, bad)
    assert engine.num_waiting == 0


def test_the_published_layout_is_served(
    vit: Policy, vit_engine: Engine, observations: list[Observation]
) -> None:
    """Two ViTs instead of the convolutional tower, before and after an update; beside the other engine."""
    adapters = RandomAdapters(vit)
    for _ in range(2):
        decisions = vit_engine.act(observations)
        expected = learner_logprobs(
            vit, observations, decisions, temperature=TEMPERATURE, model=adapters.model
        )
        np.testing.assert_allclose(engine_logprobs(decisions), expected, atol=TOLERANCE, rtol=0)
        vit_engine.update(adapters.draw(1))


def test_a_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.json"):
        Engine(tmp_path, EngineConfig(), temperature=1.0)


def test_temperature_zero_is_refused(micro_folder: Path) -> None:
    with pytest.raises(ValueError, match="greedy"):
        Engine(micro_folder, EngineConfig(), temperature=0.0)
