"""What settings must satisfy beyond their type: allowed ranges, and which of them have an effect.

In: a `Config` (and the keys a user has set). Out: nothing, or a `ValueError` that says how to mend it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.config import AdvantageKind, Config, CriticKind, CurriculumKind, Mode, Shaping, WhenDown
from core.types import NUM_PUBLISHED_STATES


@dataclass(frozen=True)
class Needs:
    """`keys` (a section or a single setting) have an effect only where `holds`."""

    keys: tuple[str, ...]
    holds: Callable[[Config], bool]
    condition: str


def _has_critic(config: Config) -> bool:
    return config.advantage.kind is AdvantageKind.GAE


EFFECTS = (
    Needs(("advantage.group_size",), lambda c: not _has_critic(c), "advantage.kind=grpo or rloo"),
    Needs(
        ("critic", "advantage.gamma", "advantage.lam", "advantage.bootstrap_time_limit"),
        _has_critic,
        "advantage.kind=gae",
    ),
    Needs(
        ("critic.window", "critic.epochs", "learner.train_share"),
        lambda c: c.critic.kind is CriticKind.POOLED,
        "critic.kind=pooled",
    ),
    Needs(
        ("critic.coef", "critic.clip"),
        lambda c: c.critic.kind is not CriticKind.POOLED,
        "critic.kind=shared or adapter",
    ),
    Needs(
        ("curriculum.floor", "curriculum.decay", "curriculum.temperature"),
        lambda c: c.curriculum.kind is not CurriculumKind.UNIFORM,
        "curriculum.kind=frontier or paper",
    ),
    Needs(
        (
            "env.num_actors",
            "engine.num_replicas",
            "engine.max_num_seqs",
            "engine.gather_ms",
            "engine.gpu_memory_fraction",
            "engine.tensor_parallel_size",
            "learner.num_ranks",
            "learner.zero_stage",
        ),
        lambda c: c.run.mode is not Mode.INLINE,
        "run.mode=local or cluster (inline is one process)",
    ),
    Needs(
        ("reward.shaping", "reward.scale", "reward.when_down", "reward.batch_size", "reward.num_gpus"),
        lambda c: bool(c.reward.checkpoint),
        "reward.checkpoint (a process reward model)",
    ),
    Needs(
        ("reward.scale",),
        lambda c: c.reward.shaping is not Shaping.NONE,
        "reward.shaping=potential or additive",
    ),
    Needs(
        ("reward.when_down", "reward.num_gpus"),
        lambda c: c.run.mode is not Mode.INLINE,
        "run.mode=local or cluster (inline is one process)",
    ),
    Needs(
        ("run.keep_checkpoints",),
        lambda c: c.run.checkpoint_every > 0 or c.eval.every > 0,  # an evaluation begins with a checkpoint
        "run.checkpoint_every or eval.every above 0",
    ),
)


def check_effect(config: Config, keys: Iterable[str]) -> None:
    """Refuse what a user has set in vain."""
    for key in keys:
        for rule in EFFECTS:
            if (key in rule.keys or key.split(".")[0] in rule.keys) and not rule.holds(config):
                raise ValueError(
                    f"{key} has no effect here: it needs {rule.condition}. Remove it or set that."
                )


POSITIVE = (
    "run.num_updates",
    "run.keep_checkpoints",
    "env.num_actors",
    "env.envs_per_actor",
    "env.workers_per_actor",
    "env.step_timeout_s",
    "policy.temperature",
    "policy.lora_rank",
    "policy.lora_alpha",
    "engine.num_replicas",
    "engine.max_num_seqs",
    "engine.gpu_memory_fraction",
    "engine.tensor_parallel_size",
    "reward.scale",
    "reward.batch_size",
    "learner.num_ranks",
    "learner.num_threads",
    "learner.lr",
    "learner.adam_eps",
    "learner.decisions_per_update",
    "learner.minibatch_size",
    "learner.microbatch_size",
    "learner.epochs",
    "learner.train_share",
    "learner.clip_low",
    "learner.clip_high",
    "critic.lr",
    "critic.window",
    "critic.epochs",
    "curriculum.temperature",
    "learner.max_grad_norm",
    "learner.importance_cap",
    "eval.episodes_per_task",
)
NOT_NEGATIVE = (
    "run.max_minutes",
    "run.checkpoint_every",
    "run.video_every",
    "run.seed",
    "env.render_size",
    "env.max_steps",
    "critic.warmup_updates",
    "critic.coef",
    "critic.clip",
    "buffer.chunk_decisions",
    "buffer.max_lag",
    "engine.gather_ms",
    "reward.num_gpus",
    "eval.every",
    "eval.videos",
    "learner.weight_decay",
    "learner.entropy_coef",
    "learner.kl_coef",
    "learner.target_kl",
)
UNIT = (
    "advantage.gamma",
    "advantage.lam",
    "curriculum.floor",
    "curriculum.decay",
    "learner.train_share",
    "engine.gpu_memory_fraction",
)
CHOICES = {
    "learner.zero_stage": (1, 2, 3),
    "learner.dtype": ("float32", "bfloat16"),
    "engine.dtype": ("float32", "bfloat16"),
}


def check_values(config: Config) -> None:
    """Refuse numbers outside their range and settings that contradict each other."""
    for key in POSITIVE:
        _require(_value(config, key) > 0, f"{key} must be above 0, got {_value(config, key)}")
    for key in NOT_NEGATIVE:
        _require(_value(config, key) >= 0, f"{key} must be 0 or more, got {_value(config, key)}")
    for key in UNIT:
        _require(0 <= _value(config, key) <= 1, f"{key} must lie in 0..1, got {_value(config, key)}")
    for key, allowed in CHOICES.items():
        _require(
            _value(config, key) in allowed,
            f"{key}={_value(config, key)}: allowed are {', '.join(map(str, allowed))}",
        )
    _check_together(config)


def _check_together(config: Config) -> None:
    learner, advantage = config.learner, config.advantage
    _require(
        config.run.name not in ("", "..") and Path(config.run.name).name == config.run.name,
        f"run.name={config.run.name} cannot be a folder of run.runs_dir={config.run.runs_dir}: "
        "give a name without slashes",
    )
    _require(
        learner.microbatch_size <= learner.minibatch_size <= learner.decisions_per_update,
        "learner.microbatch_size <= minibatch_size <= decisions_per_update must hold, got "
        f"{learner.microbatch_size}, {learner.minibatch_size}, {learner.decisions_per_update}",
    )
    _require(
        learner.minibatch_size % learner.num_ranks == 0,
        f"learner.minibatch_size={learner.minibatch_size} must be a multiple of "
        f"learner.num_ranks={learner.num_ranks}",
    )
    _require(
        config.env.workers_per_actor <= config.env.envs_per_actor,
        f"env.workers_per_actor={config.env.workers_per_actor} is more than "
        f"env.envs_per_actor={config.env.envs_per_actor}: the rest would idle",
    )
    _require(
        config.eval.episodes_per_task <= NUM_PUBLISHED_STATES,
        f"eval.episodes_per_task={config.eval.episodes_per_task}: "
        f"a task has {NUM_PUBLISHED_STATES} published states",
    )
    grouped = advantage.kind is not AdvantageKind.GAE
    _require(
        not (grouped and config.buffer.chunk_decisions),
        f"advantage.kind={advantage.kind.value} compares whole episodes: set buffer.chunk_decisions=0",
    )
    tasks = config.env.tasks
    _require(len(set(tasks)) == len(tasks), f"env.tasks={tasks} names a task twice")
    _check_reward(config)
    _require(
        not grouped or advantage.group_size > 1,
        f"advantage.group_size must be at least 2, got {advantage.group_size}",
    )


def _check_reward(config: Config) -> None:
    reward = config.reward
    _require(
        reward.scale < 0.5,
        f"reward.scale must be below 0.5, so that success outweighs it, got {reward.scale}",
    )
    _require(
        not reward.checkpoint
        or reward.shaping is not Shaping.ADDITIVE
        or not _has_critic(config)
        or not config.advantage.bootstrap_time_limit,
        "reward.shaping=additive pays for every decision; with advantage.bootstrap_time_limit=true a robot "
        "that stalls at a good frame is paid for ever, more than for a success: set it to false",
    )
    critic_or_additive = _has_critic(config) or reward.shaping is not Shaping.POTENTIAL
    _require(
        not reward.checkpoint or critic_or_additive,
        "reward.shaping=potential changes the return of every episode from one start alike, which "
        f"advantage.kind={config.advantage.kind.value} then subtracts: set reward.shaping=additive or none, "
        "or advantage.kind=gae",
    )
    _require(
        not reward.checkpoint
        or _has_critic(config)
        or reward.shaping is Shaping.NONE
        or reward.when_down is WhenDown.PAUSE,
        "reward.when_down=sparse would leave some episodes of a group unpaid, which "
        f"advantage.kind={config.advantage.kind.value} then takes for worse: set it to pause",
    )


def require_positive(options: object, *names: str) -> None:
    """Of a command's options."""
    for name in names:
        value = getattr(options, name)
        _require(value > 0, f"--{name.replace('_', '-')} must be above 0, got {value}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _value(config: Config, key: str) -> float:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)
