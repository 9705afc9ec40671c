"""LoRA on every linear and convolutional layer: added, taken out as tensors, checked, put back, merged.

In: a policy, or an `Adapter` that came over the wire. Out: an `Adapter`, or a policy changed by one.
Everything that reinforcement learning trains in the policy travels as these tensors: W += alpha / rank · B A.
As in the published runs the output head and the patch embeddings are covered too. A convolution's A has its
kernel and its B is 1x1; flattened to matrices, the equation holds for them as well.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from core.types import Adapter
from policy.configuration import OpenVLAConfig
from policy.model import VLARLForActionPrediction

PREFIX = "base_model.model."
POLICY_ADAPTER = "default"
"""What PEFT calls the policy's adapter, as against a critic's."""
FACTOR_A, FACTOR_B = ".lora_A.weight", ".lora_B.weight"
WEIGHTS_FILE, CONFIG_FILE, VERSION_FILE = "adapter_model.safetensors", "adapter_config.json", "version.json"

Factors = dict[str, tuple[np.ndarray, np.ndarray]]
"""Module name to A (rank, in) and B (out, rank)."""


def add_lora(model: VLARLForActionPrediction, *, rank: int, alpha: float) -> PeftModel:
    """Wrap the policy; only the new factors are trainable. B starts at zero, so nothing changes yet."""
    if rank < 1:
        raise ValueError(f"lora rank must be at least 1, got {rank}")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(_targets(model)), init_lora_weights="gaussian"
    )
    return get_peft_model(model, config)


def lora_shapes(config: OpenVLAConfig) -> dict[str, tuple[int, ...]]:
    """Weight shape of every module that an adapter of this policy covers; no memory is allocated."""
    with torch.device("meta"):
        model = VLARLForActionPrediction(config)
    return {name: tuple(module.weight.shape) for name, module in _targets(model).items()}


def _targets(model: VLARLForActionPrediction) -> dict[str, nn.Module]:
    kinds = nn.Linear | nn.Conv2d
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def export_adapter(model: PeftModel, version: int) -> Adapter:
    """A copy of the policy's LoRA tensors, detached from the model's memory."""
    config = model.peft_config[POLICY_ADAPTER]
    state = get_peft_model_state_dict(model, adapter_name=POLICY_ADAPTER, save_embedding_layers=False)
    tensors = {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in state.items()}
    return Adapter(version=version, rank=config.r, alpha=config.lora_alpha, tensors=tensors)


def set_adapter_tensors(model: PeftModel, adapter: Adapter) -> None:
    """Put exported tensors back into a policy that has an adapter of the same kind."""
    shapes = lora_shapes(model.get_base_model().config)
    validate_adapter(adapter, shapes, rank=model.peft_config[POLICY_ADAPTER].r)
    state = {name: torch.tensor(array) for name, array in adapter.tensors.items()}
    report = set_peft_model_state_dict(model, state, adapter_name=POLICY_ADAPTER)
    assert not report.unexpected_keys


def factors_of(adapter: Adapter) -> Factors:
    """The adapter by module, with convolutions flattened to matrices."""
    modules = [name.removesuffix(FACTOR_A) for name in adapter.tensors if name.endswith(FACTOR_A)]
    return {
        module.removeprefix(PREFIX): (
            _matrix(adapter.tensors[module + FACTOR_A]),
            _matrix(adapter.tensors[module + FACTOR_B]),
        )
        for module in modules
    }


def validate_adapter(
    adapter: Adapter, shapes: Mapping[str, tuple[int, ...]], *, rank: int | None = None
) -> None:
    """Raise `ValueError` unless this adapter fits these modules, is finite, and has the expected rank."""
    if rank is not None and adapter.rank != rank:
        raise ValueError(f"the adapter has rank {adapter.rank}, this policy takes rank {rank}")
    expected = dict(_expected_shapes(shapes, adapter.rank))
    odd = sorted(adapter.tensors.keys() ^ expected.keys())
    if odd:
        raise ValueError(
            f"the adapter does not cover this policy's modules: {len(odd)} differ, first {odd[0]}"
        )
    for name, array in adapter.tensors.items():
        if _matrix(array).shape != expected[name]:
            raise ValueError(f"{name} has shape {array.shape}, expected {expected[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity; adapter {adapter.version} is refused")


def _expected_shapes(shapes: Mapping[str, tuple[int, ...]], rank: int) -> list[tuple[str, tuple[int, int]]]:
    pairs = []
    for module, (num_out, *inputs) in shapes.items():
        pairs.append((PREFIX + module + FACTOR_A, (rank, int(np.prod(inputs)))))
        pairs.append((PREFIX + module + FACTOR_B, (num_out, rank)))
    return pairs


@torch.no_grad()
def merge_adapter(model: VLARLForActionPrediction, adapter: Adapter) -> None:
    """W += alpha / rank · B A, in place and for good: the policy that an engine with this adapter serves."""
    validate_adapter(adapter, lora_shapes(model.config))
    scale = adapter.alpha / adapter.rank
    for module, (factor_a, factor_b) in factors_of(adapter).items():
        weight: Tensor = model.get_submodule(module).weight
        delta = torch.from_numpy(scale * (factor_b @ factor_a)).reshape(weight.shape)
        weight.copy_(weight.float() + delta.to(weight.device))


def write_adapter(folder: Path, adapter: Adapter) -> None:
    """PEFT's own layout, and the version beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted(factors_of(adapter))
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules=modules)
    config.save_pretrained(str(folder))
    save_file(
        {name: np.ascontiguousarray(array) for name, array in adapter.tensors.items()}, folder / WEIGHTS_FILE
    )
    (folder / VERSION_FILE).write_text(json.dumps({"version": adapter.version}) + "\n")


def read_adapter(folder: Path) -> Adapter:
    """What `write_adapter` wrote."""
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE, VERSION_FILE) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is not an adapter folder: it lacks {', '.join(missing)}")
    config = json.loads((folder / CONFIG_FILE).read_text())
    version = json.loads((folder / VERSION_FILE).read_text())["version"]
    tensors = load_file(folder / WEIGHTS_FILE)
    return Adapter(version=version, rank=config["r"], alpha=config["lora_alpha"], tensors=tensors)


def _matrix(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)
