"""The tasks of a run, and what follows from them.

In: settings and the policy's number of steps per decision. Out: tasks, the longest chunk and episode, what
the learner pays.
"""

from core.config import Config
from core.types import TaskId
from envs import suites
from envs.suites import Task
from learner.batch import RewardFunction, environment_rewards
from policy.processing import load_processor
from reward.shaping import ShapedRewards


def chosen_tasks(config: Config) -> list[Task]:
    """The tasks to practise."""
    suite = config.env.suite
    if not config.env.tasks:
        return suites.suite_tasks(suite)
    return [suites.task(TaskId(suite=suite, index=index)) for index in config.env.tasks]


def max_chunk_decisions(config: Config, tasks: list[Task], steps_per_decision: int) -> int:
    """The longest chunk that can be sealed."""
    episode_decisions = max_episode_decisions(config, tasks, steps_per_decision)
    return min(config.buffer.chunk_decisions or episode_decisions, episode_decisions)


def max_episode_decisions(config: Config, tasks: list[Task], steps_per_decision: int) -> int:
    """The longest episode that can be played."""
    longest_episode = max(config.env.max_steps or t.max_steps for t in tasks)
    return -(-longest_episode // steps_per_decision)


def reward_function(config: Config) -> RewardFunction:
    """What the learner pays: the simulator's reward, and what the reward model's scores add to it."""
    if not config.reward.checkpoint:
        return environment_rewards
    processor = load_processor(config.policy.checkpoint, config.env.suite)
    return ShapedRewards(
        shaping=config.reward.shaping,
        scale=config.reward.scale,
        gamma=config.advantage.gamma,
        time_limit_ends=not config.advantage.bootstrap_time_limit,
        max_decisions=max_episode_decisions(
            config, chosen_tasks(config), processor.config.steps_per_decision
        ),
    )
