"""The environments of one actor.

In: settings. Out: an `EnvPool` of real LIBERO environments.
"""

from core.config import Config
from envs.assets import resolve_assets
from envs.vector import EnvPool


def make_pool(config: Config, policy_render_size: int) -> EnvPool:
    """As many environments and worker processes as one actor has, rendering what the policy's view needs."""
    env = config.env
    return EnvPool(
        env.envs_per_actor,
        num_workers=env.workers_per_actor,
        assets=resolve_assets(env.assets),
        render=env.render,
        size=env.render_size or policy_render_size,
        max_steps=env.max_steps,
        step_timeout_s=env.step_timeout_s,
    )
