"""Decisions from the plain torch model, batch by batch: for debugging, and as a baseline.

In: observations. Out: decisions. The serving engine gives the same ones faster; this needs nothing but torch.

Shape letters: B batch, A action tokens, V action ids, D hidden size.
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from core.types import Decision, Observation
from policy.distribution import action_logprobs
from policy.model import VLARLForActionPrediction
from policy.processing import Processor


class Sampler:
    """One policy at one temperature."""

    def __init__(
        self, model: VLARLForActionPrediction, processor: Processor, *, temperature: float, seed: int = 0
    ) -> None:
        self._model, self._processor, self._temperature = model, processor, temperature
        self._generator = torch.Generator(model.device).manual_seed(seed)

    @torch.inference_mode()
    def act(self, observations: list[Observation], greedy: bool = False) -> list[Decision]:
        """Decide on all of these, in their order. Prompts of one length share a batch: no padding."""
        groups: dict[int, list[int]] = defaultdict(list)
        prompts = [self._processor.prompt_ids(observation.instruction) for observation in observations]
        for index, ids in enumerate(prompts):
            groups[len(ids)].append(index)
        decisions: dict[int, Decision] = {}
        for members in groups.values():
            frames = np.stack([observations[i].frame for i in members])
            decided = self._decide([prompts[i] for i in members], frames, greedy)
            decisions.update(zip(members, decided, strict=True))
        return [decisions[index] for index in range(len(observations))]

    def _decide(self, prompts: list[list[int]], frames: np.ndarray, greedy: bool) -> list[Decision]:
        model, cache = self._model, DynamicCache()
        device = model.device
        patches = model.embed_frames(torch.from_numpy(frames).to(device))
        inputs = model.splice(torch.tensor(prompts, device=device), patches)
        temperature = 1.0 if greedy else self._temperature  # the log-probabilities that vLLM reports
        tokens, logprobs = [], []
        for _ in range(model.config.num_action_tokens):
            hidden = model.language_model.model(
                inputs_embeds=inputs, past_key_values=cache, use_cache=True
            ).last_hidden_state[:, -1]
            logprobs_BV = action_logprobs(model.action_logits(hidden), temperature)
            chosen_B1 = self._choose(logprobs_BV, greedy)
            logprobs.append(logprobs_BV.gather(1, chosen_B1))
            tokens.append(chosen_B1 + model.config.action_ids.start)
            inputs = model.get_input_embeddings()(tokens[-1])
        return _decisions(torch.cat(tokens, 1), torch.cat(logprobs, 1))

    def _choose(self, logprobs_BV: Tensor, greedy: bool) -> Tensor:
        if greedy:
            return logprobs_BV.argmax(dim=-1, keepdim=True)
        return torch.multinomial(logprobs_BV.exp(), 1, generator=self._generator)


def _decisions(tokens_BA: Tensor, logprobs_BA: Tensor) -> list[Decision]:
    rows = zip(tokens_BA.cpu().numpy().astype(np.int32), logprobs_BA.cpu().numpy(), strict=True)
    return [Decision(tokens=tokens, logprobs=logprobs, version=0) for tokens, logprobs in rows]
