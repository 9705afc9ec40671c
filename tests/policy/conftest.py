"""Policies and one engine that the tests of this folder share."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import EngineConfig
from core.types import Observation
from policy.checkpoint import Policy, load_policy, save_policy
from policy.configuration import VIT_TOWERS, OpenVLAConfig
from policy.engine import Engine
from policy.model import VLARLForActionPrediction
from policy.presets import make_tiny, tiny_config
from tests.policy.scoring import RandomAdapters

STATISTICS = {
    "libero_spatial": {
        "action": {"q01": [-0.5] * 6 + [0], "q99": [0.5] * 6 + [1], "mask": [True] * 6 + [False]}
    }
}
TEMPERATURE = 1.5
INSTRUCTIONS = (
    "pick up the black bowl and place it on the plate",
    "open the drawer",
    "put the bowl on top of the cabinet and then turn on the stove",
)


@pytest.fixture(scope="session")
def micro_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest policy, with random weights."""
    folder = tmp_path_factory.mktemp("policies") / "micro"
    make_tiny(folder, "micro")
    (folder / "dataset_statistics.json").write_text(json.dumps(STATISTICS))
    return folder


@pytest.fixture(scope="session")
def micro(micro_folder: Path) -> Policy:
    """The same policy as the learner has it."""
    return load_policy(micro_folder)


@pytest.fixture(scope="session")
def vit(micro_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy with the published pair of towers, in small."""
    folder = tmp_path_factory.mktemp("policies") / "vit"
    towers = [{"embed_dim": size, "depth": 3, "num_heads": 2} for size in (32, 48)]
    config = tiny_config("micro").to_dict() | {"vision_tower": VIT_TOWERS, "vit_towers": towers}
    torch.manual_seed(0)
    save_policy(folder, VLARLForActionPrediction(OpenVLAConfig(**config)), tokenizer_from=micro_folder)
    return load_policy(folder)


@pytest.fixture(scope="session")
def engine(micro_folder: Path) -> Iterator[Engine]:
    """One vLLM engine for the session. Tests leave it without requests, but on any version."""
    engine = Engine(micro_folder, EngineConfig(max_num_seqs=8), temperature=TEMPERATURE)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vit_engine(vit: Policy, engine: Engine) -> Engine:
    """A second one beside it, which must not be closed before: that would take the first one down as well."""
    return Engine(vit.folder, EngineConfig(max_num_seqs=8), temperature=TEMPERATURE)


@pytest.fixture(scope="session")
def adapters(micro: Policy) -> RandomAdapters:
    """LoRA updates of it."""
    return RandomAdapters(micro)


@pytest.fixture(scope="session")
def observations(micro: Policy) -> list[Observation]:
    """Different frames and prompts of different lengths."""
    shape = micro.processor.view_shape
    frames = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    return [
        Observation(frame=frame, instruction=INSTRUCTIONS[index % len(INSTRUCTIONS)])
        for index, frame in enumerate(frames)
    ]
