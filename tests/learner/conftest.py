"""A micro policy on disk, random trajectories that fit it, and learners made of them."""

from pathlib import Path

import pytest

from core.config import Config
from policy.presets.tiny import make_tiny


@pytest.fixture(scope="session")
def micro_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer policy with one action step (7 tokens), in float32."""
    folder = tmp_path_factory.mktemp("policy") / "micro"
    make_tiny(folder, "micro")
    return folder


@pytest.fixture
def config(micro_policy: Path) -> Config:
    """Defaults made small; no warm-up, so that the first update trains the policy."""
    config = Config()
    config.policy.checkpoint = str(micro_policy)
    config.policy.lora_rank, config.policy.lora_alpha = 4, 8.0
    config.learner.minibatch_size, config.learner.microbatch_size = 16, 4
    config.learner.lr = 1e-2
    config.critic.warmup_updates = 0
    return config
