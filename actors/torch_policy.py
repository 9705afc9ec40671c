"""The policy served by plain PyTorch in this process, one observation at a time: for `inline` runs and
debuggers.

In: observations, adapters. Out: decisions from the same distribution as the engine's. vLLM stays out of a
process that also learns, because it changes torch globally.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.config import EngineConfig, PolicyConfig
from core.types import Adapter, Decision, Observation
from policy.adapter import add_lora, set_adapter_tensors
from policy.checkpoint import load_policy
from policy.distribution import action_logprobs


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
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._wrapped = add_lora(
            loaded.model.to(self._device), rank=policy.lora_rank, alpha=policy.lora_alpha
        )
        self._model = self._wrapped.get_base_model().eval()
        self._processor = loaded.processor
        self._first_id = loaded.config.action_ids.start
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

    @torch.inference_mode()
    def _decide(self, request: _Request) -> Decision:
        generator = torch.Generator(self._device).manual_seed(request.seed)
        embeds, cache = self._prompt(request.observation), None
        choices, chosen = [], []
        for _ in range(self._processor.num_action_tokens):
            output = self._model.language_model.model(
                inputs_embeds=embeds, past_key_values=cache, use_cache=True
            )
            cache = output.past_key_values
            logits_V = self._model.action_logits(output.last_hidden_state[:, -1])[0]
            logprobs_V = action_logprobs(logits_V, self._temperature)
            choice = _choose(logprobs_V, generator, greedy=request.greedy)
            choices.append(int(choice))
            chosen.append(float(logprobs_V[choice]))
            embeds = self._model.get_input_embeddings()((choice + self._first_id).reshape(1, 1))
        tokens_A = np.array(choices, np.int32) + np.int32(self._first_id)
        return Decision(tokens=tokens_A, logprobs=np.array(chosen, np.float32), version=self._version)

    def _prompt(self, observation: Observation) -> Tensor:
        ids = torch.tensor([self._processor.prompt_ids(observation.instruction)], device=self._device)
        frames = torch.from_numpy(observation.frame[None]).to(self._device)
        return self._model.splice(ids, self._model.embed_frames(frames))


def _choose(logprobs_V: Tensor, generator: torch.Generator, *, greedy: bool) -> Tensor:
    if greedy:
        return logprobs_V.argmax()
    return torch.multinomial(logprobs_V.exp(), 1, generator=generator)[0]
