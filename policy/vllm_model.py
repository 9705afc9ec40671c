"""The policy as vLLM runs it: our vision towers and projector, vLLM's Llama, a head of action ids alone.

In: prompts of ids in engine order (`vllm_layout`) and one uint8 frame each. Out: logits over the action ids.

Shape letters: B images, P patches, N tokens of all requests in a step, D hidden size, V action ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BatchFeature
from vllm.config import VllmConfig
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.models.interfaces import SupportsMultiModal
from vllm.model_executor.models.llama import LlamaModel
from vllm.model_executor.models.utils import AutoWeightsLoader, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptIndexTargets,
    PromptInsertion,
)

from policy.model import Projector
from policy.vision import build_vision
from policy.vllm_layout import num_image_tokens, to_engine_id

HEAD_NAME = "language_model.lm_head.weight"


class ActionLanguageModel(nn.Module):
    """Llama over ids in engine order, with a head that knows the action ids alone."""

    def __init__(self, vllm_config: VllmConfig, prefix: str) -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        text_config = config.language
        self.action_ids = config.action_ids
        self.vocab_size = text_config.vocab_size
        self.model = LlamaModel(
            vllm_config=vllm_config.with_hf_config(text_config), prefix=maybe_prefix(prefix, "model")
        )
        self.action_head = nn.Linear(text_config.hidden_size, len(self.action_ids), bias=False)

    def embed_input_ids(self, input_ids_N: Tensor) -> Tensor:
        return self.model.embed_input_ids((input_ids_N + self.action_ids.start) % self.vocab_size)


class FrameInfo(BaseProcessingInfo):
    """One frame a prompt, always the same number of image tokens."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": 1}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"image": self.num_image_tokens}

    @cached_property
    def num_image_tokens(self) -> int:
        return num_image_tokens(self.get_hf_config())


class FrameDummies(BaseDummyInputsBuilder[FrameInfo]):
    """What vLLM measures its memory with."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any
    ) -> dict[str, Any]:
        frame = np.zeros(self.info.get_hf_config().view_shape, np.uint8)
        return {"image": [frame] * mm_counts.get("image", 0)}


class FrameProcessor(BaseMultiModalProcessor[FrameInfo]):
    """uint8 frames pass unchanged (the model normalises them); their placeholders follow BOS."""

    requires_tokenizer = False

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        """On a GPU vLLM begins with these; without a tokenizer they would lack BOS, which frames follow."""
        inputs = super().get_dummy_inputs(*args, **kwargs)
        config = self.info.get_hf_config()
        inputs.prompt = [to_engine_id(config, config.bos_token_id)]
        return inputs

    def _call_hf_processor(self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        frames = [torch.tensor(frame, dtype=torch.uint8) for frame in hf_data["images"]]
        return BatchFeature({"frames": torch.stack(frames)})

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Any) -> dict[str, Any]:
        return {"frames": MultiModalFieldConfig.batched("image")}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Any, out_mm_kwargs: Any
    ) -> Sequence[PromptInsertion]:
        config = self.info.get_hf_config()
        placeholders = [to_engine_id(config, config.pad_token_id)] * self.info.num_image_tokens
        after_bos = PromptIndexTargets.prefix([to_engine_id(config, config.bos_token_id)])
        return [PromptInsertion(modality="image", target=after_bos, insertion=placeholders)]


@MULTIMODAL_REGISTRY.register_processor(FrameProcessor, info=FrameInfo, dummy_inputs=FrameDummies)
class ServedPolicy(nn.Module, SupportsMultiModal):
    """vLLM's side of `policy.model.VLARLForActionPrediction`: its parameters, some of them packed."""

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> None:
        return None

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.config = config
        with self._mark_tower_model(vllm_config, "image"):
            self.vision_backbone = build_vision(config)
            self.projector = Projector(self.vision_backbone.dim, config.language.hidden_size)
        with self._mark_language_model(vllm_config):
            self.language_model = ActionLanguageModel(vllm_config, maybe_prefix(prefix, "language_model"))
        for module in self.modules():
            if isinstance(module, LinearBase):
                module._cpu_skip_gemm_dispatch = True  # packed CPU weights could not be updated in place

    def embed_multimodal(self, frames: Tensor) -> Tensor:
        """(B, P, D) image tokens of (B, H, W, C) frames."""
        pixels = self.vision_backbone.pixel_values(frames).to(self.projector.fc1.weight.dtype)
        return self.projector(self.vision_backbone(pixels))

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        return self.language_model.model(input_ids, positions, intermediate_tensors, inputs_embeds)

    def compute_logits(self, hidden_ND: Tensor) -> Tensor:
        """(N, V): only action ids exist here, so only they can be sampled."""
        return self.language_model.action_head(hidden_ND)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return AutoWeightsLoader(self).load_weights(self._in_engine_names(weights))

    def _in_engine_names(self, weights: Iterable[tuple[str, Tensor]]) -> Iterable[tuple[str, Tensor]]:
        for name, tensor in weights:
            if name == HEAD_NAME:
                ids = self.config.action_ids
                yield "language_model.action_head.weight", tensor[ids.start : ids.stop]
            else:
                yield name, tensor
