"""The policy served by plain PyTorch in this process, one observation at a time: for `inline` runs and
debuggers.

In: observations, adapters. Out: decisions from the same distribution as the engine's. vLLM stays out of a
process that also learns, because it changes torch globally.
"""

import dataclasses
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import torch

from core.config import EngineConfig, PolicyConfig
from core.types import Adapter, Decision, Observation
from policy.adapter import add_lora, set_adapter_tensors
from policy.checkpoint import load_policy
from policy.sampler import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    key: int
    observation: Observation
    greedy: bool
    seed: int


class TorchPolicy:
    """A `PolicyClient` that holds its own copy of the policy; `update` gives it the learner's weights."""

    patience_s = 0.0

    def __init__(self, checkpoint: str | Path, policy: PolicyConfig, engine: EngineConfig) -> None:
        loaded = load_policy(checkpoint, dtype=getattr(torch, engine.dtype))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._wrapped = add_lora(loaded.model.to(device), rank=policy.lora_rank, alpha=policy.lora_alpha)
        self._model = self._wrapped.get_base_model().eval()
        self._processor = loaded.processor
        self._temperature = policy.temperature
        self._requests: deque[_Request] = deque()
        self._version = 0

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        """Remember a request."""
        self._requests.append(_Request(key=key, observation=observation, greedy=greedy, seed=seed))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        """Answer the oldest request. One at a time, so that the environment it belongs to steps meanwhile."""
        if not self._requests:
            return []
        request = self._requests.popleft()
        return [(request.key, self._decide(request))]

    def act(self, observations: list[Observation]) -> list[Decision]:
        """Sampled decisions at once, for the probe."""
        return [
            self._decide(_Request(key=index, observation=observation, greedy=False, seed=index))
            for index, observation in enumerate(observations)
        ]

    def update(self, adapter: Adapter) -> None:
        """Serve these weights from now on."""
        set_adapter_tensors(self._wrapped, adapter)
        self._version = adapter.version

    def _decide(self, request: _Request) -> Decision:
        sampler = Sampler(self._model, self._processor, temperature=self._temperature, seed=request.seed)
        (decision,) = sampler.act([request.observation], request.greedy)
        return dataclasses.replace(decision, version=self._version)
