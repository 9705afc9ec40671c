"""Training end to end on a toy world, and going on after an interruption to the last bit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from policy.presets import make_tiny
from reward.checkpoint import OWN_START, Backend, Description, load_reward_model
from reward.evaluation import judge
from reward.model import ScoreWeights
from reward.native import NativeNetwork
from reward.training import Trainer, TrainOptions, train
from tests.reward.episodes import toy_episode

EPISODES = [toy_episode(success=number % 2 == 0, number=number, held_out=number >= 8) for number in range(12)]
DESCRIPTION = Description(backend=Backend.NATIVE, base="", view_of="", weights=ScoreWeights(), training={})


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    make_tiny(folder, "micro")
    return folder


def trainer(start: Path) -> Trainer:
    options = TrainOptions(minutes=60, batch_tasks=2)
    return Trainer(NativeNetwork(start), EPISODES, DESCRIPTION, options)


def test_a_toy_world_is_learned_and_the_best_model_kept(start: Path, tmp_path: Path) -> None:
    options = TrainOptions(minutes=0.5, batch_tasks=3, check_every=60, patience=3)
    best = train(NativeNetwork(start), EPISODES, DESCRIPTION, tmp_path, options, lambda progress: None)
    assert best.value_order > 0.9
    assert best.final_auc == 1
    assert best.gap > 0.3
    model = load_reward_model(tmp_path)
    again = judge(model, [episode for episode in EPISODES if episode.held_out])
    assert again.summary == pytest.approx(best.summary, abs=1e-3)
    assert len(model.version) == 12


def test_a_resumed_training_repeats_an_uninterrupted_one(start: Path, tmp_path: Path) -> None:
    whole = trainer(start)
    whole.steps(4)
    half = trainer(start)
    half.steps(2)
    half.save(tmp_path)
    resumed = trainer(start)
    resumed.load(tmp_path)
    assert resumed.num_steps == 2
    # The learning rate follows the CPU time spent; at 2 of 60 minutes it is the same to five digits.
    resumed.steps(2)
    for name, parameter in whole.parameters().items():
        torch.testing.assert_close(resumed.parameters()[name], parameter, atol=1e-4, rtol=1e-3)


def test_other_options_are_refused(start: Path, tmp_path: Path) -> None:
    trainer(start).save(tmp_path)
    other = Trainer(NativeNetwork(start), EPISODES, DESCRIPTION, TrainOptions(minutes=60, batch_tasks=5))
    with pytest.raises(ValueError, match="other batch_tasks"):
        other.load(tmp_path)


def test_other_data_are_refused(start: Path, tmp_path: Path) -> None:
    """The figures that the old ones led to would be given out as those of the new ones."""
    trainer(start).save(tmp_path)
    description = dataclasses.replace(DESCRIPTION, training={"files": "others"})
    other = Trainer(NativeNetwork(start), EPISODES, description, TrainOptions(minutes=60, batch_tasks=2))
    with pytest.raises(ValueError, match="other files"):
        other.load(tmp_path)


def test_without_a_held_out_success_training_is_refused(start: Path) -> None:
    episodes = [episode for episode in EPISODES if not episode.held_out]
    with pytest.raises(ValueError, match="record more"):
        Trainer(NativeNetwork(start), episodes, DESCRIPTION, TrainOptions())


def test_an_adapter_is_trained_alone_and_comes_back(start: Path, tmp_path: Path) -> None:
    network = NativeNetwork(start, lora_rank=2)
    assert all("lora_" in name for name, p in network.module.named_parameters() if p.requires_grad)
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    network.save(tmp_path)
    Description(
        backend=Backend.NATIVE, base=str(start), view_of="", weights=ScoreWeights(), training={}
    ).write(tmp_path)
    views = network.views(EPISODES[0].frames[:3], None)
    instructions = [EPISODES[0].instruction] * 3
    network.module.eval()
    with torch.no_grad():
        expected = ScoreWeights().score(network.answers(views, instructions)).numpy()
    model = load_reward_model(tmp_path)
    np.testing.assert_allclose(model.score(views, instructions, 2), expected, atol=1e-6)
    assert (tmp_path / "adapter/adapter_config.json").is_file()  # PEFT's layout


def test_an_adapter_on_a_start_of_its_own_can_be_moved(tmp_path: Path) -> None:
    made, moved = tmp_path / "made", tmp_path / "moved"
    make_tiny(made / OWN_START, "micro")
    network = NativeNetwork(made / OWN_START, lora_rank=2)
    network.save(made)
    dataclasses.replace(DESCRIPTION, base=OWN_START).write(made)
    version = load_reward_model(made).version
    made.rename(moved)
    assert load_reward_model(moved).version == version


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rprm\.json"):
        load_reward_model(tmp_path)
