"""What the learner says of the engine's decisions: the reference of the serving tests."""

import copy

import numpy as np
import torch
from torch import nn

from core.types import Adapter, Decision, Observation
from policy.adapter import add_lora, export_adapter
from policy.checkpoint import Policy
from policy.distribution import action_logprobs, token_logprobs
from policy.engine import Engine
from policy.model import action_logits, pad_prompts


@torch.inference_mode()
def learner_logits(
    policy: Policy, observations: list[Observation], decisions: list[Decision], model: nn.Module | None = None
) -> torch.Tensor:
    """(B, A, V) logits by teacher forcing on the decisions' tokens."""
    prompts = [policy.processor.prompt_ids(observation.instruction) for observation in observations]
    frames = torch.from_numpy(np.stack([observation.frame for observation in observations]))
    ids_BL = pad_prompts(prompts, policy.config.pad_token_id)
    logits_BAV, _ = action_logits(model or policy.model, ids_BL, frames, _tokens(decisions))
    return logits_BAV


def learner_logprobs(
    policy: Policy,
    observations: list[Observation],
    decisions: list[Decision],
    *,
    temperature: float,
    model: nn.Module | None = None,
) -> np.ndarray:
    """(B, A) log-probabilities of the decisions' tokens, as the learner computes them."""
    logits_BAV = learner_logits(policy, observations, decisions, model)
    first_id = policy.config.action_ids.start
    return token_logprobs(logits_BAV, _tokens(decisions), temperature, first_id).numpy()


def first_token_entropy(
    policy: Policy, observation: Observation, decision: Decision, temperature: float
) -> float:
    """Of the distribution that the first action token is drawn from, in nats."""
    logits_V = learner_logits(policy, [observation], [decision])[0, 0]
    logprobs_V = action_logprobs(logits_V, temperature)
    return float(-(logprobs_V.exp() * logprobs_V).sum())


def engine_logprobs(decisions: list[Decision]) -> np.ndarray:
    return np.stack([decision.logprobs for decision in decisions])


def run_to_end(engine: Engine) -> dict[object, Decision]:
    """Step until every request is answered."""
    done: dict[object, Decision] = {}
    while engine.num_waiting:
        for key, decision in engine.step():
            assert key not in done
            done[key] = decision
    return done


def _tokens(decisions: list[Decision]) -> torch.Tensor:
    return torch.from_numpy(np.stack([decision.tokens for decision in decisions])).long()


class RandomAdapters:
    """A policy with LoRA whose factors can be drawn anew: what the learner would hold after an update."""

    def __init__(self, policy: Policy, *, rank: int = 4) -> None:
        self.model = add_lora(copy.deepcopy(policy.model), rank=rank, alpha=8.0).eval()
        self._nothing = export_adapter(self.model, 0)

    def nothing(self) -> Adapter:
        """B = 0: the starting policy, as version 0."""
        return self._nothing

    @torch.no_grad()
    def draw(self, version: int) -> Adapter:
        """Deltas about twice as large as the starting weights: far more than learning ever moves them."""
        generator = torch.Generator().manual_seed(version)
        for name, parameter in self.model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        return export_adapter(self.model, version)
