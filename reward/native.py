"""Back end: this project's own VLM architecture (the policy's), tiny on a CPU, OpenVLA's size on a GPU.

In: a policy folder to start from. Out: a `RewardNetwork`. Three action tokens, always the same, are queries;
what the network says at each is an answer. Of the 256 action ids the last means yes, the first no, and all
together are the levels of progress: no new head, no new token, and every published checkpoint fits.

Shape letters: B frames, A queries, V action ids, H W picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policy.adapter import add_lora, export_adapter, read_adapter, set_adapter_tensors, write_adapter
from policy.augment import random_views
from policy.checkpoint import load_policy, save_policy
from policy.model import pad_prompts
from reward.model import Answers

NUM_QUERIES = 3
MAX_SHIFT = 2
ADAPTER_FOLDER = "adapter"


class NativeNetwork:
    """The policy's architecture with other answers."""

    def __init__(self, start: str | Path, *, lora_rank: int = 0, lora_alpha: float = 16.0) -> None:
        """`lora_rank` 0 trains everything."""
        policy = load_policy(start)
        self._start, self._processor, self._config = policy.folder, policy.processor, policy.config
        self._has_adapter = lora_rank > 0
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu":  # eager attention trains 1.5 times faster than the fused kernel at these sizes
            policy.model.set_attn_implementation("eager")
        network = policy.model.to(device)
        self.module: nn.Module = (
            add_lora(network, rank=lora_rank, alpha=lora_alpha) if self._has_adapter else network
        )

    @classmethod
    def from_adapter(cls, start: str | Path, folder: Path) -> "NativeNetwork":
        """The base it was trained on, with its adapter."""
        adapter = read_adapter(folder / ADAPTER_FOLDER)
        network = cls(start, lora_rank=adapter.rank, lora_alpha=adapter.alpha)
        set_adapter_tensors(network.module, adapter)
        return network

    @property
    def cameras(self) -> tuple[str, ...]:
        return self._processor.cameras

    @property
    def view_shape(self) -> tuple[int, int, int]:
        return self._processor.view_shape

    def views(self, frames_BHWC: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        if rng is not None:
            return random_views(frames_BHWC, self._config, rng, MAX_SHIFT)
        return np.stack([self._processor.view(frame) for frame in frames_BHWC])

    def answers(self, views_BHWC: np.ndarray, instructions: Sequence[str]) -> Answers:
        prompts = [self._processor.prompt_ids(instruction) for instruction in instructions]
        device = next(self.module.parameters()).device
        ids = self._config.action_ids
        queries_BA = torch.arange(ids.start, ids.start + NUM_QUERIES, device=device).repeat(len(prompts), 1)
        logits_BAV: Tensor = self.module(
            input_ids=pad_prompts(prompts, self._config.pad_token_id).to(device),
            frames=torch.from_numpy(views_BHWC).to(device),
            action_tokens=queries_BA,
        ).logits
        odds_BA = logits_BAV[..., -1] - logits_BAV[..., 0]
        return Answers(odds_BA[:, 0], odds_BA[:, 1], logits_BAV[:, 2])

    def save(self, folder: Path) -> None:
        if self._has_adapter:
            write_adapter(folder / ADAPTER_FOLDER, export_adapter(self.module, version=0))
        else:
            save_policy(folder, self.module, tokenizer_from=self._start)
