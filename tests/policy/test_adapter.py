"""LoRA tensors: the published count, the merge equation, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from core.types import Adapter
from policy.adapter import (
    add_lora,
    export_adapter,
    factors_of,
    lora_shapes,
    merge_adapter,
    read_adapter,
    set_adapter_tensors,
    validate_adapter,
    write_adapter,
)
from policy.configuration import OpenVLAConfig
from policy.model import VLARLForActionPrediction, action_logits
from policy.presets import tiny_config

RANK, ALPHA = 4, 8.0
PUBLISHED_LORA_PARAMETERS = 110_828_288


def new_policy() -> VLARLForActionPrediction:
    torch.manual_seed(0)
    return VLARLForActionPrediction(tiny_config("micro")).eval()


@pytest.fixture
def wrapped() -> PeftModel:
    """A policy with an adapter that does something."""
    model = add_lora(new_policy(), rank=RANK, alpha=ALPHA).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return model


@pytest.fixture
def adapter(wrapped: PeftModel) -> Adapter:
    return export_adapter(wrapped, version=3)


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 255, (2, 64, 128, 3), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(512, 768, (2, 7), generator=generator)
    return action_logits(model, torch.tensor([[1, 10, 3], [1, 11, 3]]), frames, tokens)[0]


def test_published_number_of_parameters() -> None:
    """Rank 32 on every linear and convolutional layer of OpenVLA-7B, output head included."""
    shapes = lora_shapes(OpenVLAConfig())
    count = sum(32 * (shape[0] + int(np.prod(shape[1:]))) for shape in shapes.values())
    assert count == PUBLISHED_LORA_PARAMETERS


def test_a_new_adapter_changes_nothing_and_only_it_is_trainable() -> None:
    plain = new_policy()
    before = logits(plain)
    model = add_lora(plain, rank=RANK, alpha=ALPHA)
    torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-6)
    assert all(("lora_" in name) == p.requires_grad for name, p in model.named_parameters())


def test_merged_equals_wrapped(wrapped: PeftModel, adapter: Adapter) -> None:
    merged = new_policy()
    assert (logits(merged) - logits(wrapped)).abs().max() > 1e-2
    merge_adapter(merged, adapter)
    torch.testing.assert_close(logits(merged), logits(wrapped), rtol=0, atol=1e-5)


def test_merge_equation_by_hand() -> None:
    model = new_policy()
    name = "projector.fc3"
    before = model.get_submodule(name).weight.detach().clone()
    adapter = export_adapter(add_lora(new_policy(), rank=1, alpha=2.0), version=1)
    tensors = {key: np.zeros_like(value) for key, value in adapter.tensors.items()}
    tensors[f"base_model.model.{name}.lora_A.weight"][0, 3] = 5.0
    tensors[f"base_model.model.{name}.lora_B.weight"][7, 0] = 0.5
    merge_adapter(model, replace(adapter, tensors=tensors))
    before[7, 3] += 2.0 / 1 * 0.5 * 5.0
    torch.testing.assert_close(model.get_submodule(name).weight.detach(), before)


def test_exported_tensors_are_copies(wrapped: PeftModel, adapter: Adapter) -> None:
    kept = {name: array.copy() for name, array in adapter.tensors.items()}
    with torch.no_grad():
        for parameter in wrapped.parameters():
            parameter.add_(1)
    for name, array in adapter.tensors.items():
        np.testing.assert_array_equal(array, kept[name])


def test_tensors_go_back_where_they_came_from(wrapped: PeftModel, adapter: Adapter) -> None:
    other = add_lora(new_policy(), rank=RANK, alpha=ALPHA).eval()
    set_adapter_tensors(other, adapter)
    assert torch.equal(logits(other), logits(wrapped))


def test_folder_is_in_pefts_layout(wrapped: PeftModel, adapter: Adapter, tmp_path: Path) -> None:
    write_adapter(tmp_path, adapter)
    again = read_adapter(tmp_path)
    assert (again.version, again.rank, again.alpha) == (3, RANK, ALPHA)
    for name, array in adapter.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], array)
    by_peft = PeftModel.from_pretrained(new_policy(), str(tmp_path)).eval()
    assert torch.equal(logits(by_peft), logits(wrapped))


def test_factors_are_matrices_that_fit(adapter: Adapter) -> None:
    shapes = lora_shapes(tiny_config("micro"))
    factors = factors_of(adapter)
    assert factors.keys() == shapes.keys()
    for module, (factor_a, factor_b) in factors.items():
        assert (factor_b @ factor_a).size == np.prod(shapes[module])


def corrupt(adapter: Adapter, kind: str) -> Adapter:
    tensors = {name: array.copy() for name, array in adapter.tensors.items()}
    first = next(iter(tensors))
    if kind == "nan":
        tensors[first].flat[0] = np.nan
    elif kind == "shape":
        tensors[first] = tensors[first][..., :-1]
    elif kind == "missing":
        del tensors[first]
    elif kind == "unknown":
        tensors["base_model.model.elsewhere.lora_A.weight"] = np.zeros((RANK, 2), np.float32)
    return replace(adapter, tensors=tensors)


@pytest.mark.parametrize(
    ("kind", "message"), [("nan", "NaN"), ("shape", "shape"), ("missing", "cover"), ("unknown", "cover")]
)
def test_bad_adapters_are_refused(adapter: Adapter, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate_adapter(corrupt(adapter, kind), lora_shapes(tiny_config("micro")))


def test_another_rank_is_refused(adapter: Adapter) -> None:
    shapes = lora_shapes(tiny_config("micro"))
    validate_adapter(adapter, shapes, rank=RANK)
    with pytest.raises(ValueError, match="rank"):
        validate_adapter(adapter, shapes, rank=RANK + 1)
    with pytest.raises(ValueError, match="shape"):
        validate_adapter(replace(adapter, rank=RANK + 1), shapes)


def test_folders_that_hold_no_adapter_and_rank_zero_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"adapter_config\.json"):
        read_adapter(tmp_path)
    with pytest.raises(ValueError, match="rank"):
        add_lora(new_policy(), rank=0, alpha=1.0)
