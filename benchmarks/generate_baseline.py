"""The baseline of serving: transformers' own `generate` on one batch, with what the engine returns too.

In: a policy folder, a temperature. Out: CPU seconds of each repetition, as JSON on the last line. Its own
process, because vLLM changes torch globally.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from benchmarks.policy_inputs import observations
from core.types import Observation
from policy.checkpoint import load_policy
from policy.model import VLARLForActionPrediction
from policy.processing import Processor

REPETITIONS = 10


class ActionIdsOnly(LogitsProcessor):
    """The engine's mask."""

    def __init__(self, vocab_size: int, ids: range) -> None:
        self._mask_V = torch.full((vocab_size,), float("-inf"))
        self._mask_V[ids.start : ids.stop] = 0

    def __call__(self, input_ids: Tensor, scores_BV: Tensor) -> Tensor:
        return scores_BV + self._mask_V


@torch.inference_mode()
def generate(
    model: VLARLForActionPrediction, processor: Processor, batch: list[Observation], temperature: float
) -> tuple[Tensor, Tensor]:
    """(B, A) action tokens and their log-probabilities."""
    config = model.config
    embeds_BND, mask_BN = _left_padded(model, processor, batch)
    output = model.language_model.generate(
        inputs_embeds=embeds_BND,
        attention_mask=mask_BN,
        max_new_tokens=config.num_action_tokens,
        min_new_tokens=config.num_action_tokens,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        logits_processor=LogitsProcessorList([ActionIdsOnly(config.language.vocab_size, config.action_ids)]),
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=config.pad_token_id,
    )
    logprobs_BA = model.language_model.compute_transition_scores(
        output.sequences, output.scores, normalize_logits=True
    )
    return output.sequences, logprobs_BA


def _left_padded(
    model: VLARLForActionPrediction, processor: Processor, batch: list[Observation]
) -> tuple[Tensor, Tensor]:
    """(B, N, D) embeddings, (B, N) mask; `generate` goes on at the right end, so padding is on the left."""
    prompts = [processor.prompt_ids(observation.instruction) for observation in batch]
    longest = max(map(len, prompts))
    gaps = [longest - len(ids) for ids in prompts]
    pad = model.config.pad_token_id
    ids_BL = torch.tensor([ids + [pad] * gap for ids, gap in zip(prompts, gaps, strict=True)])
    frames = torch.from_numpy(np.stack([observation.frame for observation in batch]))
    embeds_BND = model.splice(ids_BL, model.projector(model.vision_features(frames)))
    mask_BN = torch.ones(embeds_BND.shape[:2], dtype=torch.long)
    for row, gap in enumerate(gaps):
        embeds_BND[row] = embeds_BND[row].roll(gap, dims=0)
        mask_BN[row, :gap] = 0
    return embeds_BND, mask_BN


def main(checkpoint: str, num_callers: int, temperature: float) -> None:
    policy = load_policy(Path(checkpoint))
    batch = observations(policy.processor.view_shape, num_callers)
    seconds = []
    for _ in range(REPETITIONS):
        started = time.process_time()
        generate(policy.model, policy.processor, batch, temperature)
        seconds.append(time.process_time() - started)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
