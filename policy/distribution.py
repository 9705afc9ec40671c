"""The sampling distribution, the same in the engine and in the learner: softmax of logits / temperature.

In: `(..., V)` logits over the action ids alone (the mask has already been applied by leaving other ids out).
Out: float32 log-probabilities and entropies.
"""

import torch
from torch import Tensor


def action_logprobs(logits_V: Tensor, temperature: float) -> Tensor:
    """log softmax(logits / T) over the action ids, in float32 whatever the model's own precision."""
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; greedy decoding needs none")
    return torch.log_softmax(logits_V.float() / temperature, dim=-1)


def token_logprobs(logits_AV: Tensor, token_ids_A: Tensor, temperature: float, first_id: int) -> Tensor:
    """(..., A) log-probabilities of the chosen action tokens; `first_id` is the lowest action id."""
    chosen_A = (token_ids_A.long() - first_id)[..., None]
    return action_logprobs(logits_AV, temperature).gather(-1, chosen_A).squeeze(-1)


def entropy(logprobs_V: Tensor) -> Tensor:
    """H = -sum p log p, in nats."""
    return -(logprobs_V.exp() * logprobs_V).sum(dim=-1)
