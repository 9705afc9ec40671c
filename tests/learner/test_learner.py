"""A learner's life in one process: probes, adapters, checkpoints and resuming as if nothing had happened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from core.config import Config, CriticKind
from core.types import Observation
from learner.build import build_learner
from learner.checkpoint import list_checkpoints
from learner.learner import Learner
from policy.checkpoint import load_policy
from policy.distribution import token_logprobs
from policy.model import action_logits, pad_prompts
from tests.learner.trajectories import full_batch_gradient, largest_difference, make_chunk, make_chunks


def trained(config: Config, num_updates: int) -> Learner:
    learner = build_learner(config)
    for _ in range(num_updates):
        learner.update(make_chunks(learner), {})
    return learner


def same_weights(one: Learner, other: Learner) -> bool:
    ours, theirs = (learner.engine.optimizer_state() for learner in (one, other))
    adapters = one.adapter().tensors, other.adapter().tensors
    critics = one.engine.model.critic_parameters(), other.engine.model.critic_parameters()
    return (
        all(np.array_equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
        and all(torch.equal(critics[0][name], critics[1][name]) for name in critics[0])
        and all(torch.equal(ours[name], theirs[name]) for name in ours)
    )


@pytest.mark.parametrize("critic", CriticKind)
def test_resume_continues_as_if_nothing_had_happened(
    config: Config, tmp_path: Path, critic: CriticKind
) -> None:
    """Also in the middle of the critic's warm-up, which must not start again."""
    config.critic.kind, config.critic.warmup_updates = critic, 2
    learner = trained(config, 1)
    learner.save(tmp_path, {"curriculum": [1, 2.5, "x"]}, keep=2)
    resumed = build_learner(config)
    report = resumed.load(tmp_path)
    assert report.extra == {"curriculum": [1, 2.5, "x"]}
    chunks = make_chunks(learner)
    for changed in (False, True, True):
        one, other = learner.update(chunks, {}), resumed.update(chunks, {})
        assert one.policy_changed == other.policy_changed == changed
        assert (one.number, one.version) == (other.number, other.version)
        assert one.metrics["learner/kl"] == other.metrics["learner/kl"] if changed else True
        assert same_weights(learner, resumed)


def test_resume_goes_on_with_the_small_steps_of_an_update_that_went_too_far(
    config: Config, tmp_path: Path
) -> None:
    config.learner.lr, config.learner.epochs, config.learner.minibatch_size = 1e-2, 8, 4
    learner = trained(config, 1)
    assert learner.step_size.first < 1
    learner.save(tmp_path, {}, keep=1)
    resumed = build_learner(config)
    resumed.load(tmp_path)
    chunks = make_chunks(learner)
    one, other = learner.update(chunks, {}), resumed.update(chunks, {})
    assert one.metrics["learner/lr"] == other.metrics["learner/lr"] < 1e-2
    assert same_weights(learner, resumed)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(config: Config, tmp_path: Path) -> None:
    learner = trained(config, 1)
    learner.save(tmp_path, {"at": 1}, keep=3)
    before = learner.adapter()
    learner.update(make_chunks(learner), {})
    learner.save(tmp_path, {"at": 2}, keep=3)
    (tmp_path / "000002" / "training_state" / "optimizer.safetensors").write_bytes(b"short")
    resumed = build_learner(config)
    report = resumed.load(tmp_path)
    assert (resumed.number, resumed.version, report.extra) == (1, 1, {"at": 1})
    assert len(report.damaged) == 1
    assert all(
        np.array_equal(resumed.adapter().tensors[name], before.tensors[name]) for name in before.tensors
    )


def test_another_lora_is_refused(config: Config, tmp_path: Path) -> None:
    """Factors under another alpha are another policy, and nothing would tell."""
    trained(config, 1).save(tmp_path, {}, keep=1)
    config.policy.lora_alpha *= 2
    with pytest.raises(ValueError, match="lora_alpha must stay as the run began"):
        build_learner(config).load(tmp_path)


def test_a_policy_that_is_being_trained_is_not_warmed_up_again(config: Config, tmp_path: Path) -> None:
    trained(config, 2).save(tmp_path, {}, keep=1)
    config.critic.warmup_updates = 5
    with pytest.raises(ValueError, match="at most 2 from here on"):
        build_learner(config).load(tmp_path)


def test_load_without_a_checkpoint_starts_afresh(config: Config, tmp_path: Path) -> None:
    learner = build_learner(config)
    report = learner.load(tmp_path)
    assert (report.folder, report.damaged, learner.number) == (None, [], 0)


def test_a_checkpoint_holds_what_the_design_says(config: Config, tmp_path: Path) -> None:
    trained(config, 1).save(tmp_path, {}, keep=1)
    (folder,) = list_checkpoints(tmp_path)
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "critic.safetensors",
        "training_state/optimizer.safetensors",
        "training_state/state.json",
        "manifest.json",
    } <= files
    assert {Path(name).suffix for name in files} <= {".json", ".safetensors", ".md"}  # nothing pickled


def test_peft_itself_can_load_the_saved_adapter(config: Config, tmp_path: Path) -> None:
    """The adapter folder on the starting policy gives the learner's own log-probabilities."""
    config.critic.kind = CriticKind.ADAPTER
    learner = trained(config, 1)
    learner.save(tmp_path, {}, keep=1)
    chunk = make_chunk(learner.processor, 0)
    model = PeftModel.from_pretrained(
        load_policy(config.policy.checkpoint).model, tmp_path / "last" / "adapter"
    )
    ids = pad_prompts([learner.processor.prompt_ids(chunk.instruction)] * 4, model.config.pad_token_id)
    with torch.no_grad():
        logits, _ = action_logits(model, ids, torch.from_numpy(chunk.frames), torch.from_numpy(chunk.tokens))
    expected = token_logprobs(logits, torch.from_numpy(chunk.tokens), 1.0, model.config.action_ids.start)
    observations = [Observation(frame=frame, instruction=chunk.instruction) for frame in chunk.frames]
    np.testing.assert_allclose(learner.probe(observations, chunk.tokens), expected, atol=1e-5)


def test_probe_changes_with_an_update_and_knows_the_temperature(config: Config) -> None:
    learner = build_learner(config)
    chunk = make_chunk(learner.processor, 0)
    observations = [Observation(frame=frame, instruction=chunk.instruction) for frame in chunk.frames]
    before = learner.probe(observations, chunk.tokens)
    learner.update(make_chunks(learner), {})
    assert np.abs(learner.probe(observations, chunk.tokens) - before).max() > 1e-4
    config.policy.temperature = 2.0
    hotter = build_learner(config).probe(observations, chunk.tokens)
    assert not np.allclose(hotter, before)
    assert np.abs(hotter + np.log(256)).mean() < np.abs(before + np.log(256)).mean()  # nearer to uniform


def test_an_exported_adapter_is_a_copy(config: Config) -> None:
    learner = trained(config, 1)
    adapter = learner.adapter()
    kept = {name: tensor.copy() for name, tensor in adapter.tensors.items()}
    learner.update(make_chunks(learner), {})
    assert adapter.version == 1
    assert all(np.array_equal(adapter.tensors[name], kept[name]) for name in kept)
    assert not any(".critic." in name for name in kept)


def test_autocast_trains_alike_and_probes_exactly(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 keeps 8 bits: products differ by 2^-8, gradients of a sum of them hardly more."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    exact = build_learner(config)
    config.learner.autocast = True
    rounded = build_learner(config)
    chunks = make_chunks(exact)
    observations = [Observation(frame=frame, instruction="do") for frame in chunks[0].frames]
    assert np.array_equal(
        exact.probe(observations, chunks[0].tokens), rounded.probe(observations, chunks[0].tokens)
    )
    norms = [learner.update(chunks, {}).metrics["learner/grad_norm"] for learner in (exact, rounded)]
    assert norms[0] != norms[1]
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


@pytest.mark.parametrize("critic", CriticKind)
def test_without_vision_the_rest_has_the_same_gradient(config: Config, critic: CriticKind) -> None:
    """Although its features of a frame are made once and used in every pass."""
    config.critic.kind = critic
    chunks = make_chunks(build_learner(config))
    whole = full_batch_gradient(config, chunks, microbatch_size=4)
    config.learner.train_vision = False
    part = full_batch_gradient(config, chunks, microbatch_size=4)
    assert any("vision_backbone" in name for name in whole)
    assert not any("vision_backbone" in name for name in part)
    assert largest_difference({name: whole[name] for name in part}, part) < 1e-5


def test_vision_can_be_left_as_it_is(config: Config, tmp_path: Path) -> None:
    config.learner.train_vision = False
    learner = trained(config, 1)
    outputs = {name: array for name, array in learner.adapter().tensors.items() if "lora_B" in name}
    moved = {name for name, array in outputs.items() if array.any()}
    assert moved == {name for name in outputs if "vision_backbone" not in name}
    learner.save(tmp_path, {}, keep=1)
    config.learner.train_vision = True
    with pytest.raises(ValueError, match="train_vision must stay"):
        build_learner(config).load(tmp_path)
