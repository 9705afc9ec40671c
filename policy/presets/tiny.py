"""Configurations of the tiny family and their random starting weights.

In: a preset's name. Out: a policy folder in the published layout, ready for imitation.
"""

from pathlib import Path

import torch
from transformers import LlamaConfig

from core.types import MAIN_CAMERA, WRIST_CAMERA
from policy.configuration import CONV_TOWER, OpenVLAConfig
from policy.conventions import SHRINK
from policy.model import VLARLForActionPrediction
from policy.presets.tokenizer import BOS_ID, EOS_ID, NUM_TEXT_IDS, PROMPT_END_ID, write_tokenizer

NUM_BINS = 256
VOCABULARY_PADDING = 64

PRESETS: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "action_repeat": 4},
    "micro": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1, "action_repeat": 1},
}
"""`tiny` solves LIBERO tasks after minutes of imitation; `micro` is for tests."""


CONV_CHANNELS = {"tiny": [24, 48, 96, 128], "micro": [8, 16, 24, 32]}


def tiny_config(preset: str) -> OpenVLAConfig:
    """The preset's `config.json`."""
    if preset not in PRESETS:
        raise ValueError(f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    sizes = PRESETS[preset]
    hidden, num_bins_end = sizes["hidden_size"], NUM_TEXT_IDS + NUM_BINS
    text_config = LlamaConfig(
        vocab_size=num_bins_end + VOCABULARY_PADDING,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=sizes["num_hidden_layers"],
        num_attention_heads=sizes["num_attention_heads"],
        num_key_value_heads=sizes["num_attention_heads"],
        max_position_embeddings=512,
        pad_token_id=num_bins_end,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        tie_word_embeddings=False,
    )
    return OpenVLAConfig(  # type: ignore[call-arg]  # transformers makes the constructor
        text_config=text_config,
        pad_token_id=num_bins_end,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        prompt_end_id=PROMPT_END_ID,
        pad_to_multiple_of=VOCABULARY_PADDING,
        vision_tower=CONV_TOWER,
        conv_channels=CONV_CHANNELS[preset],
        image_sizes=[64, 64],
        image_resize_strategy=SHRINK,
        cameras=[MAIN_CAMERA, WRIST_CAMERA],
        render_size=128,
        action_repeat=sizes["action_repeat"],
    )


def make_tiny(folder: Path, preset: str = "tiny", *, seed: int = 0) -> None:
    """Write a policy folder with random weights; it has no action statistics until imitation adds them."""
    from policy.checkpoint import save_policy

    config = tiny_config(preset)
    torch.manual_seed(seed)
    model = VLARLForActionPrediction(config)
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    save_policy(folder, model, tokenizer_from=folder)
