"""Policy folders in the published layout, both ways."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from policy.checkpoint import load_policy, save_policy
from policy.presets import make_tiny
from policy.processing import load_processor

STATS = {"libero_spatial": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": [True] * 6 + [False]}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_tiny(tmp_path / "policy", "micro")
    return tmp_path / "policy"


def test_written_folder_has_the_published_files_and_reads_back_equal(folder: Path, tmp_path: Path) -> None:
    policy = load_policy(folder)
    out = tmp_path / "copy"
    save_policy(out, policy.model, tokenizer_from=folder, norm_stats=STATS)
    assert {
        "config.json",
        "model.safetensors",
        "dataset_statistics.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    } <= {file.name for file in out.iterdir()}
    assert json.loads((out / "config.json").read_text())["model_type"] == "openvla"
    again = load_policy(out, suite="libero_spatial")
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    assert again.processor.decode(np.array([767] * 7)).shape == (1, 7)


def test_shards_with_an_index_load(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("policy.checkpoint.MAX_SHARD", "100KB")
    policy = load_policy(folder)
    save_policy(tmp_path / "sharded", policy.model, tokenizer_from=folder)
    assert (tmp_path / "sharded" / "model.safetensors.index.json").is_file()
    again = load_policy(tmp_path / "sharded")
    assert torch.equal(policy.model.language_model.lm_head.weight, again.model.language_model.lm_head.weight)


def test_published_fields_survive_a_round_trip(shared_dir: Path, tmp_path: Path) -> None:
    """What we do not read is not ours to drop."""
    source = shared_dir / "fixtures" / "openvla_tiny"
    shutil.copytree(source, tmp_path / "published")
    towers = json.loads((source / "about.json").read_text())["towers"]
    config_file = tmp_path / "published" / "config.json"
    published = json.loads(config_file.read_text())
    config_file.write_text(json.dumps(published | {"vit_towers": list(towers.values())}))
    make_tiny(tmp_path / "tokenizer", "micro")
    shutil.copy(tmp_path / "tokenizer" / "tokenizer.json", tmp_path / "published")
    policy = load_policy(tmp_path / "published")
    save_policy(tmp_path / "ours", policy.model, tokenizer_from=tmp_path / "published")
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    for key in ("arch_specifier", "hf_llm_id", "timm_model_ids", "image_resize_strategy", "norm_stats"):
        assert written[key] == published[key], key
    weights = load_file(source / "model.safetensors"), load_file(tmp_path / "ours" / "model.safetensors")
    assert weights[0].keys() == weights[1].keys()


def test_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_policy(tmp_path)


def test_name_that_is_neither_folder_nor_on_the_hub_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither a folder nor"):
        load_policy(tmp_path / "missing")


def test_folder_without_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        load_policy(folder)


def test_missing_superfluous_and_misshapen_weights_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = "projector.fc1.weight"
    for wrong in (
        {key: value for key, value in weights.items() if key != name},
        weights | {"projector.fc9.weight": weights[name].clone()},
        weights | {name: weights[name][:-1]},
    ):
        save_file(wrong, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match="projector"):
            load_policy(folder)


def test_missing_statistics_are_named_when_they_are_needed(folder: Path) -> None:
    policy = load_policy(folder)
    with pytest.raises(ValueError, match="vlarl sft"):
        policy.processor.decode(np.array([700] * 7))
    save_policy(folder, policy.model, tokenizer_from=folder, norm_stats=STATS)
    with pytest.raises(ValueError, match="libero_goal"):
        load_processor(folder, "libero_goal")
