"""Policy folders in the published OpenVLA layout: read whole, written whole.

In and out: a folder with `config.json`, safetensors (sharded with an index when large), `tokenizer.json`,
`preprocessor_config.json` and `dataset_statistics.json` (or `norm_stats` inside `config.json`).
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from policy.configuration import OpenVLAConfig
from policy.conventions import STATISTICS_FILE, read_statistics
from policy.model import VLARLForActionPrediction
from policy.processing import Processor, load_processor, resolve_folder

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")
MAX_SHARD = "5GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy in memory."""

    model: VLARLForActionPrediction
    config: OpenVLAConfig
    processor: Processor
    folder: Path


def load_config(folder: Path) -> OpenVLAConfig:
    """`config.json`, with the statistics file merged into `norm_stats`."""
    config = OpenVLAConfig.from_pretrained(folder)
    config.norm_stats = read_statistics(folder) or config.norm_stats
    return config


def load_policy(
    checkpoint: str | Path, *, dtype: torch.dtype = torch.float32, suite: str | None = None
) -> Policy:
    """Everything of a policy folder (or hub name); any missing or superfluous weight is an error."""
    folder = resolve_folder(checkpoint)
    config = load_config(folder)
    model = load_model(folder, config, dtype)
    return Policy(model=model, config=config, processor=load_processor(folder, suite), folder=folder)


def load_model(folder: Path, config: OpenVLAConfig, dtype: torch.dtype) -> VLARLForActionPrediction:
    """The weights alone, in evaluation mode. Only safetensors: other formats can run code when read."""
    if not any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} has no weights in *.safetensors, the one format that is read")
    transformers_logging.disable_progress_bar()
    model, report = VLARLForActionPrediction.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    wrong = {kind: sorted(map(str, names)) for kind, names in report.items() if names}
    if wrong:
        raise ValueError(f"the weights in {folder} do not fit its config.json: {wrong}")
    return model.eval()


def save_policy(
    folder: Path,
    model: VLARLForActionPrediction,
    *,
    tokenizer_from: Path,
    norm_stats: dict[str, Any] | None = None,
) -> None:
    """Write a folder that `load_policy`, the engine and OpenVLA's own tools read.

    `norm_stats` replaces the statistics; tokenizer files are copied from the folder the policy came from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if norm_stats is not None:
        model.config.norm_stats = norm_stats
    model.save_pretrained(folder, max_shard_size=MAX_SHARD)
    if model.config.norm_stats:
        (folder / STATISTICS_FILE).write_text(json.dumps(model.config.norm_stats, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessor(model.config), indent=2) + "\n")
    for name in TOKENIZER_FILES:
        if (tokenizer_from / name).is_file() and tokenizer_from.resolve() != folder.resolve():
            shutil.copyfile(tokenizer_from / name, folder / name)


def _preprocessor(config: OpenVLAConfig) -> dict[str, Any]:
    """The published preprocessor's fields; our own code reads the same facts from `config.json`."""
    return {
        "image_processor_type": "PrismaticImageProcessor",
        "processor_class": "PrismaticProcessor",
        "image_resize_strategy": config.image_resize_strategy,
        "input_sizes": [[3, config.image_size, config.image_size]] * 2,
        "use_fused_vision_backbone": config.use_fused_vision_backbone,
    }
