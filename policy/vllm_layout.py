"""What the engine and its vLLM model must agree on: the order of token ids, and how long sequences get.

Engine order is the vocabulary rotated so that the action ids come first (0 is the first action id). A head
of `n_action_bins` rows then samples action ids and nothing else, without a mask, and neither head nor sampler
spends time on the ids that no action uses.
"""

import torch

from policy.configuration import OpenVLAConfig
from policy.vision import build_vision

MAX_PROMPT_TOKENS = 192
"""Room for an instruction; LIBERO's longest prompt has about 60 tokens."""


def to_engine_id(config: OpenVLAConfig, token_id: int) -> int:
    """Where a token id stands in engine order."""
    return (token_id - config.action_ids.start) % config.language.vocab_size


def num_image_tokens(config: OpenVLAConfig) -> int:
    """Image tokens of one frame; counted on towers without weights."""
    with torch.device("meta"):
        return build_vision(config).num_patches


def max_sequence_tokens(config: OpenVLAConfig) -> int:
    """Prompt, image and action tokens of the longest request."""
    return MAX_PROMPT_TOKENS + num_image_tokens(config) + config.num_action_tokens
