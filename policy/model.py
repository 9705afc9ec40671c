"""OpenVLA as a native transformers class: vision backbone, projector, Llama.

In: prompts, frames and the action tokens to score. Out: their logits over the action ids, and hidden states.
The sequence is BOS, image patches, the rest of the prompt, action tokens, as published.

Shape letters: B batch, L prompt tokens (right-padded), P image patches, A action tokens, V action ids,
D hidden size, H W C picture.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.utils import ModelOutput

from policy.configuration import OpenVLAConfig
from policy.vision import AttentionPool, ConvVision, DINOv2, SigLIP, build_vision


@dataclass
class ActionOutput(ModelOutput):
    """What the policy says of each action token."""

    logits: Tensor | None = None
    """(B, A, V) over the action ids, in id order."""
    hidden: Tensor | None = None
    """(B, A, D) last hidden states that the logits were read from; position 0 is where a critic reads."""
    features: Tensor | None = None
    """(B, P, C) of the vision backbone, before the projector."""
    pooled: Tensor | None = None
    """(B, D) mean of what enters the language model before the action tokens: image and prompt."""


class Projector(nn.Module):
    """Vision features to the language model's width."""

    def __init__(self, vision_dim: int, text_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(vision_dim, 4 * vision_dim)
        self.fc2 = nn.Linear(4 * vision_dim, text_dim)
        self.fc3 = nn.Linear(text_dim, text_dim)

    def forward(self, features_BPC: Tensor) -> Tensor:
        return self.fc3(F.gelu(self.fc2(F.gelu(self.fc1(features_BPC)))))


class VLARLForActionPrediction(PreTrainedModel):
    """The policy. Parameter names and shapes are those of the published OpenVLA checkpoints."""

    config_class = OpenVLAConfig
    main_input_name = "input_ids"
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer", "Block"]  # noqa: RUF012

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__(config)
        self.vision_backbone = build_vision(config)
        self.projector = Projector(self.vision_backbone.dim, config.language.hidden_size)
        self.language_model = LlamaForCausalLM(config.language)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        return self.language_model.get_output_embeddings()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, DINOv2 | SigLIP | ConvVision | AttentionPool):
            for parameter in module.parameters(recurse=False):
                nn.init.normal_(parameter, std=0.02)

    def forward(
        self,
        input_ids: Tensor,
        frames: Tensor | None = None,
        action_tokens: Tensor | None = None,
        pixel_values: Tensor | None = None,
        features: Tensor | None = None,
        **_: Any,
    ) -> ActionOutput:
        """Score (B, A) `action_tokens` after (B, L) prompts and (B, H, W, C) `frames` (or `pixel_values`, or
        `features` that the vision backbone made of them before).

        Teacher forcing: position `a` of the output saw the action tokens before `a` only, so the last
        token is scored but never read. Without `action_tokens` there is one position, the first.
        """
        lengths_B = (input_ids != self.config.pad_token_id).sum(dim=1)
        if action_tokens is None:
            action_tokens = input_ids[:, :1]
        ids_BN = append_actions(input_ids, lengths_B, action_tokens[:, :-1])
        features_BPC = self.vision_features(frames, pixel_values) if features is None else features
        patches_BPD = self.projector(features_BPC)
        embeds_BND = self.splice(ids_BN, patches_BPD)
        hidden_BND = self.language_model.model(inputs_embeds=embeds_BND, use_cache=False).last_hidden_state
        first_B = patches_BPD.shape[1] + lengths_B - 1
        hidden_BAD = gather_positions(hidden_BND, first_B, action_tokens.shape[1])
        return ActionOutput(
            logits=self.action_logits(hidden_BAD),
            hidden=hidden_BAD,
            features=features_BPC,
            pooled=mean_of_first(embeds_BND, first_B + 1),
        )

    def vision_features(self, frames_BHWC: Tensor | None, pixel_values: Tensor | None = None) -> Tensor:
        """(B, P, C); the projector makes image tokens of them."""
        if pixel_values is None:
            assert frames_BHWC is not None, "give frames or pixel_values"
            pixel_values = self.vision_backbone.pixel_values(frames_BHWC)
        return self.vision_backbone(pixel_values.to(self.projector.fc1.weight.dtype))

    def embed_frames(self, frames_BHWC: Tensor) -> Tensor:
        """(B, P, D) image tokens."""
        return self.projector(self.vision_features(frames_BHWC))

    def splice(self, ids_BN: Tensor, patches_BPD: Tensor) -> Tensor:
        """(B, P + N, D): the first token (BOS), the image, the other tokens."""
        embeds_BND = self.get_input_embeddings()(ids_BN)
        return torch.cat([embeds_BND[:, :1], patches_BPD, embeds_BND[:, 1:]], dim=1)

    def action_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the action ids alone. The whole head runs, so that ZeRO-3's hooks see it.

        Never under autocast: rounded logits, divided by a low temperature, are another distribution.
        """
        ids = self.config.action_ids
        with torch.autocast(hidden.device.type, enabled=False):
            return self.language_model.lm_head(hidden)[..., ids.start : ids.stop]


def append_actions(input_ids_BL: Tensor, lengths_B: Tensor, tokens_BA: Tensor) -> Tensor:
    """(B, L + A) each prompt followed at once by its action tokens; padding moves to the end.

    Causal attention never looks to the right, so padding at the end needs no attention mask.
    """
    ids_BN = F.pad(input_ids_BL, (0, tokens_BA.shape[1]))
    offsets_A = torch.arange(tokens_BA.shape[1], device=input_ids_BL.device)
    return ids_BN.scatter(1, lengths_B[:, None] + offsets_A, tokens_BA.to(ids_BN.dtype))


def gather_positions(hidden_BND: Tensor, first_B: Tensor, count: int) -> Tensor:
    """(B, count, D): `count` consecutive positions from each row's `first_B` on."""
    positions_BA = first_B[:, None] + torch.arange(count, device=hidden_BND.device)
    return hidden_BND.gather(1, positions_BA[..., None].expand(-1, -1, hidden_BND.shape[-1]))


def mean_of_first(hidden_BND: Tensor, lengths_B: Tensor) -> Tensor:
    """(B, D): the mean over each row's first `lengths_B` positions."""
    positions_N = torch.arange(hidden_BND.shape[1], device=hidden_BND.device)
    weights_BN = (positions_N < lengths_B[:, None]).to(hidden_BND.dtype) / lengths_B[:, None]
    return torch.einsum("bn,bnd->bd", weights_BN, hidden_BND)


def action_logits(
    model: nn.Module, input_ids_BL: Tensor, frames_BHWC: Tensor, tokens_BA: Tensor
) -> tuple[Tensor, Tensor]:
    """(B, A, V) logits over the action ids and the (B, D) hidden state a critic reads."""
    output = model(input_ids=input_ids_BL, frames=frames_BHWC, action_tokens=tokens_BA)
    return output.logits, output.hidden[:, 0]


def pad_prompts(prompts: list[list[int]], pad_id: int) -> Tensor:
    """(B, L) prompts padded on the right."""
    longest = max(map(len, prompts))
    return torch.tensor([ids + [pad_id] * (longest - len(ids)) for ids in prompts])
