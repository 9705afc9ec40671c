"""OpenVLA's configuration: the published `config.json`, unchanged, plus the few fields our tiny models need.

In: `config.json` (published fields and, where present, ours). Out: `OpenVLAConfig`, which every other file of
`policy/` reads its sizes and token ids from.
"""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig, PreTrainedConfig

ARCHITECTURE = "VLARLForActionPrediction"
"""Our architecture's name; the published one would let a serving engine pick its own OpenVLA."""

VIT_TOWERS = "vit"
CONV_TOWER = "conv"

PUBLISHED_TOWERS: dict[str, dict[str, int]] = {
    "vit_large_patch14_reg4_dinov2.lvd142m": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
    "vit_so400m_patch14_siglip_224": {"embed_dim": 1152, "depth": 27, "num_heads": 16},
}
"""Sizes that the published `timm_model_ids` stand for."""

RESIZE = "resize-naive"
SHRINK = "shrink"
"""Mean over equal blocks of pixels: for renders that are a multiple of the view."""


@strict
class OpenVLAConfig(PreTrainedConfig):
    """Sizes, token ids and picture geometry of one policy."""

    model_type = "openvla"
    sub_configs = {"text_config": LlamaConfig}  # noqa: RUF012 (transformers wants a plain class attribute)

    # Published fields that this project reads.
    text_config: dict | LlamaConfig | None = None
    timm_model_ids: list[str] | tuple[str, ...] = tuple(PUBLISHED_TOWERS)
    use_fused_vision_backbone: bool = True
    image_sizes: list[int] | tuple[int, ...] = (224, 224)
    image_resize_strategy: str = RESIZE
    n_action_bins: int = 256
    pad_to_multiple_of: int = 64
    pad_token_id: int = 32000
    bos_token_id: int = 1
    eos_token_id: int = 2
    norm_stats: dict | None = None

    # Ours; absent from published checkpoints.
    vision_tower: str = VIT_TOWERS
    vit_towers: list[dict] | None = None
    """Sizes of the two ViTs where they differ from what `timm_model_ids` stand for."""
    conv_channels: list[int] | tuple[int, ...] = (24, 48, 96, 128)
    """Channels of the convolutional tower: a stem and then stages, each of which halves the picture."""
    cameras: list[str] | tuple[str, ...] = ("agentview",)
    """Whose pictures the policy sees, side by side in one frame."""
    num_action_steps: int = 1
    """K: actions, of 7 tokens each, in one decision."""
    action_repeat: int = 1
    """Environment steps for which each action is held."""
    prompt_end_id: int = 29871
    """Token that ends every prompt (the published tokenizer's lone space)."""
    render_size: int = 256
    """Pixels of the square camera pictures that the policy's view is made from."""

    def __post_init__(self, **kwargs: Any) -> None:
        if self.text_config is None:
            self.text_config = LlamaConfig(vocab_size=32064, pad_token_id=32000)
        elif isinstance(self.text_config, dict):
            self.text_config = LlamaConfig(**self.text_config)
        super().__post_init__(**kwargs)
        self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        _one_of("vision_tower", self.vision_tower, (VIT_TOWERS, CONV_TOWER))
        _one_of("image_resize_strategy", self.image_resize_strategy, (RESIZE, SHRINK))
        if len(set(self.image_sizes)) != 1:
            raise ValueError(
                f"image_sizes must be equal (both towers see one picture), got {self.image_sizes}"
            )
        if self.num_action_steps < 1:
            raise ValueError(f"num_action_steps must be at least 1, got {self.num_action_steps}")
        if self.action_repeat < 1:
            raise ValueError(f"action_repeat must be at least 1, got {self.action_repeat}")
        if self.vision_tower == VIT_TOWERS:
            self.tower_sizes  # noqa: B018 (raises for towers we do not know)

    @property
    def language(self) -> LlamaConfig:
        """`text_config` as what it always is after construction."""
        assert isinstance(self.text_config, LlamaConfig)
        return self.text_config

    @property
    def image_size(self) -> int:
        """Pixels of the square view of each camera."""
        return self.image_sizes[0]

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the frames the model is shown: all cameras side by side."""
        return self.image_size, self.image_size * len(self.cameras), 3

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

    @property
    def action_ids(self) -> range:
        """Ids of the action tokens: the last `n_action_bins` before the vocabulary's padding."""
        end = self.language.vocab_size - self.pad_to_multiple_of
        return range(end - self.n_action_bins, end)

    @property
    def num_action_tokens(self) -> int:
        return 7 * self.num_action_steps

    @property
    def steps_per_decision(self) -> int:
        """Environment steps."""
        return self.num_action_steps * self.action_repeat


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(allowed)}")
