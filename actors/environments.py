"""The environments of one process, joined to a policy.

In: settings, a policy client, where videos go. Out: a `RolloutLoop` over real LIBERO environments.
"""

from functools import partial
from pathlib import Path

from actors.recorder import Recorder
from actors.rollout import PolicyClient, RolloutLoop
from core.config import Config, Shift
from core.types import Start
from envs import suites
from envs.assets import resolve_assets
from envs.shifts import reworded
from envs.simulator import LiberoSimulator
from envs.vector import EnvPool
from policy.processing import load_processor


def make_loop(
    config: Config, policy: PolicyClient, episodes: Path, *, actor: int = 0, shift: Shift = Shift.NONE
) -> RolloutLoop:
    """As many environments and worker processes as one actor has.

    `actor` is its number; `shift` is what an evaluation makes other than it is in training.
    """
    env = config.env
    processor = load_processor(config.policy.checkpoint, env.suite)
    pool = EnvPool(
        env.envs_per_actor,
        num_workers=env.workers_per_actor,
        assets=resolve_assets(env.assets),
        render=env.render,
        size=env.render_size or processor.render_size,
        cameras=processor.cameras,
        max_steps=env.max_steps,
        step_timeout_s=env.step_timeout_s,
        simulator=partial(LiberoSimulator, first_worker=actor * env.workers_per_actor, shift=shift),
        has_spare=True,
    )
    return RolloutLoop(
        pool,
        policy,
        processor,
        num_envs=env.envs_per_actor,
        instruction=_reworded_instruction if shift is Shift.WORDING else _instruction,
        recorder=Recorder(episodes, steps_per_frame=processor.config.steps_per_decision),
        chunk_decisions=config.buffer.chunk_decisions,
        seed=config.run.seed,
    )


def _instruction(start: Start) -> str:
    return suites.task(start.task).instruction


def _reworded_instruction(start: Start) -> str:
    return reworded(_instruction(start))
