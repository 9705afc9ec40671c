"""OpenVLA's configuration: the published `config.json`, unchanged, plus the few fields our tiny models need.

In: `config.json` (published fields and, where present, ours). Out: `OpenVLAConfig`, which every file of
`policy/` that holds a network reads its sizes from.
"""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig, PreTrainedConfig

from policy.conventions import PUBLISHED_VOCABULARY, Conventions

ARCHITECTURE = "VLARLForActionPrediction"
"""Our architecture's name; the published one would let a serving engine pick its own OpenVLA."""

VIT_TOWERS = "vit"
CONV_TOWER = "conv"

PUBLISHED_TOWERS: dict[str, dict[str, int]] = {
    "vit_large_patch14_reg4_dinov2.lvd142m": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "vit_so400m_patch14_siglip_224": {"embed_dim": 1152, "depth": 27, "num_heads": 16},
}
"""Sizes that the published `timm_model_ids` stand for."""


@strict
class OpenVLAConfig(PreTrainedConfig, Conventions):
    """The network's sizes, and the conventions that come with them."""

    model_type = "openvla"
    sub_configs = {"text_config": LlamaConfig}  # noqa: RUF012 (transformers wants a plain class attribute)

    # Published fields that this project reads.
    timm_model_ids: list[str] | tuple[str, ...] = tuple(PUBLISHED_TOWERS)
    use_fused_vision_backbone: bool = True
    pad_token_id: int = 32000
    bos_token_id: int = 1
    eos_token_id: int = 2

    # Ours; absent from published checkpoints.
    vision_tower: str = VIT_TOWERS
    vit_towers: list[dict] | None = None
    """Sizes of the two ViTs where they differ from what `timm_model_ids` stand for."""
    conv_channels: list[int] | tuple[int, ...] = (24, 48, 96, 128)
    """Channels of the convolutional tower: a stem and then stages, each of which halves the picture."""

    def __post_init__(self, **kwargs: Any) -> None:
        if self.text_config is None:
            self.text_config = LlamaConfig(vocab_size=PUBLISHED_VOCABULARY, pad_token_id=32000)
        elif isinstance(self.text_config, dict):
            self.text_config = LlamaConfig(**self.text_config)
        super().__post_init__(**kwargs)
        self.check()
        if self.vision_tower not in (VIT_TOWERS, CONV_TOWER):
            raise ValueError(
                f"vision_tower is {self.vision_tower!r}; allowed are {VIT_TOWERS} and {CONV_TOWER}"
            )
        if self.vision_tower == VIT_TOWERS:
            self.tower_sizes  # noqa: B018 (raises for towers we do not know)

    @property
    def language(self) -> LlamaConfig:
        """`text_config` as what it always is after construction."""
        assert isinstance(self.text_config, LlamaConfig)
        return self.text_config

    @property
    def tower_sizes(self) -> list[dict[str, int]]:
        """Width, depth and heads of the DINOv2 and the SigLIP tower."""
        if self.vit_towers is not None:
            return self.vit_towers
        unknown = [name for name in self.timm_model_ids if name not in PUBLISHED_TOWERS]
        if unknown or len(self.timm_model_ids) != 2 or not self.use_fused_vision_backbone:
            raise ValueError(
                f"timm_model_ids {list(self.timm_model_ids)} (fused: {self.use_fused_vision_backbone}) are "
                f"not supported; known is {list(PUBLISHED_TOWERS)}, or give vit_towers"
            )
        return [PUBLISHED_TOWERS[name] for name in self.timm_model_ids]
