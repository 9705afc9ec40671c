"""Putting a learner together from a configuration: policy, LoRA, critic, engine.

In: the configuration and this process's rank. Out: a `Learner`.
"""

import torch

from core.config import Config
from learner.batch import RewardFunction, environment_rewards
from learner.critic import ActorCritic
from learner.distributed import Ranks
from learner.engine import Engine, PlainEngine
from learner.learner import Learner
from policy.adapter import add_lora
from policy.checkpoint import load_policy


def build_learner(
    config: Config, *, ranks: Ranks | None = None, reward_function: RewardFunction = environment_rewards
) -> Learner:
    """The learner of one rank. Without `ranks`, one process with plain PyTorch, for `inline` runs."""
    torch.set_num_threads(config.learner.num_threads)
    device = default_device()
    policy = load_policy(
        config.policy.checkpoint, dtype=getattr(torch, config.learner.dtype), suite=config.env.suite
    )
    torch.manual_seed(config.run.seed)  # LoRA and critic start alike on every rank
    model = ActorCritic(
        add_lora(policy.model.to(device), rank=config.policy.lora_rank, alpha=config.policy.lora_alpha),
        config.critic.kind,
        temperature=config.policy.temperature,
        device=device,
        autocast=config.learner.autocast,
        train_vision=config.learner.train_vision,
    ).to(device)
    return Learner(
        _engine(model, config, ranks), policy.processor, config, ranks=ranks, reward_function=reward_function
    )


def default_device() -> str:
    """The accelerator where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _engine(model: ActorCritic, config: Config, ranks: Ranks | None) -> Engine:
    if ranks is None:
        return PlainEngine(model, config.learner, config.critic)
    from learner.deepspeed_engine import DeepSpeedEngine

    return DeepSpeedEngine(model, config.learner, config.critic)
