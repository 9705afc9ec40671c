"""Adapters inside vLLM's workers: merged into the served weights, always from the kept base.

In: LoRA factors by module name. Out: served weights = base + scale · B A, changed in place, so that CUDA
graphs and vLLM's own references stay valid. Every update starts from the base, so nothing drifts.

The first updates of a bfloat16 policy are smaller than half the distance between neighbouring bfloat16
numbers: rounded to the nearest, nearly all of them would be served as nothing. So these weights are rounded
up or down by chance, and are right on average; the chance is the same at every update.
"""

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from policy.adapter import Factors

PACKED: dict[str, tuple[str, str | int | None]] = {
    "q_proj": ("qkv_proj", "q"),
    "k_proj": ("qkv_proj", "k"),
    "v_proj": ("qkv_proj", "v"),
    "gate_proj": ("gate_up_proj", 0),
    "up_proj": ("gate_up_proj", 1),
    "lm_head": ("action_head", None),
}
"""Modules that the served model keeps elsewhere: under which name, and as which part of it."""

Delta = tuple[str | int | None, Tensor]
"""A part of a parameter, and what to add to it."""


class AdapterWorker:
    """Methods that vLLM adds to its worker (`worker_extension_cls`); called through `collective_rpc`."""

    model_runner: Any

    def merge_adapter(self, scale: float, factors: Factors) -> None:
        """Serve base + scale · B A from now on."""
        if not hasattr(self, "_merged_weights"):
            self._merged_weights = MergedWeights(self.model_runner.model)
        self._merged_weights.serve(scale, factors)


class MergedWeights:
    """The parameters of a `ServedPolicy` that adapters touch, and a pristine copy of each."""

    def __init__(self, model: nn.Module) -> None:
        self._action_ids = model.config.action_ids
        self._served = dict(model.named_parameters())
        self._base: dict[str, Tensor] = {}

    @torch.no_grad()
    def serve(self, scale: float, factors: Factors) -> None:
        """Rewrite every parameter that the adapter covers; adapters of one policy cover the same ones.

        One after the other: the float32 products of all together are twice as large as a bfloat16 policy.
        """
        parts: dict[str, list[tuple[str | int | None, np.ndarray, np.ndarray]]] = {}
        for module, (factor_a, factor_b) in factors.items():
            parent, leaf = module.rsplit(".", 1)
            if leaf == "lm_head":
                factor_b = factor_b[self._action_ids.start : self._action_ids.stop]
            name, part = PACKED.get(leaf, (leaf, None))
            name = f"{parent}.{name}.weight"
            parts.setdefault(name, []).append((part, factor_a, factor_b))
        for name, of_name in parts.items():
            device = self._served[name].device
            self._rewrite(name, [(part, _product(a, b, scale, device)) for part, a, b in of_name])

    def _rewrite(self, name: str, parts: list[Delta]) -> None:
        parameter = self._served[name]
        if name not in self._base:
            self._base[name] = parameter.detach().clone()
        merged = self._base[name].float() + _placed(parameter, parts)
        parameter.copy_(_rounded_by_chance(merged, name) if parameter.dtype == torch.bfloat16 else merged)


def _product(factor_a: np.ndarray, factor_b: np.ndarray, scale: float, device: torch.device) -> Tensor:
    """scale · B A in float32. `torch.tensor` copies: what comes through Ray is shared and read-only."""
    return scale * (torch.tensor(factor_b, device=device) @ torch.tensor(factor_a, device=device))


def _rounded_by_chance(values: Tensor, name: str) -> Tensor:
    """float32 numbers that bfloat16 can hold: the nearer neighbour is the likelier one.

    A bfloat16 number is the upper half of a float32 one: what is drawn carries into it as often as the lower
    half is large. Numbers that bfloat16 holds already stay as they are.
    """
    chance = torch.Generator(values.device).manual_seed(zlib.crc32(name.encode()))
    drawn = torch.randint(2**16, values.shape, generator=chance, dtype=torch.int32, device=values.device)
    return (values.view(torch.int32).add_(drawn) & ~0xFFFF).view(torch.float32)


def _placed(parameter: nn.Parameter, parts: list[Delta]) -> Tensor:
    """The deltas where this worker's parameter has them: packed, and cut to its tensor-parallel shard.

    vLLM's own loader knows both, but it writes into the parameter; so the parameter is lent a float32 scratch
    buffer for the time of the call.
    """
    loader = getattr(parameter, "weight_loader", None)
    if loader is None:  # a plain torch layer: the vision towers, the projector, the head
        ((_, delta),) = parts
        return delta.reshape(parameter.shape)
    served = parameter.data
    parameter.data = torch.zeros_like(served, dtype=torch.float32)
    try:
        for part, delta in parts:
            loader(parameter, delta, *([] if part is None else [part]))
        return parameter.data
    finally:
        parameter.data = served
