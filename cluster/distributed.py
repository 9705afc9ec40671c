"""The parts of a run under Ray, on this machine (`local`) or on a cluster.

In: settings and the run folder. Out: the parts of a run, and how to take them down.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import ray

from actors.env_actor import EnvActor, loop_over_replicas
from actors.inference_actor import MAX_CALLS, InferenceActor
from actors.learner_actor import LearnerActor
from actors.reward_actor import RewardActor
from cluster.fleet import RayFleet
from cluster.learner_group import RayLearner
from cluster.nodes import Nodes
from cluster.parts import Mortal, Parts
from cluster.placement import Options, place
from cluster.replicas import RayReplicas
from cluster.reward_model import RayRewardModel
from cluster.security import refuse_open_dashboard, refuse_open_head
from cluster.supervision import interrupt_on_sigterm
from cluster.tasks import reward_function
from core.config import Config, Mode
from core.runfolder import RunFolder
from learner.batch import RewardFunction
from policy.processing import load_processor

WORKER_VARIABLES = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
OBJECT_STORE_SLACK = 256 * 2**20
"""Bytes for everything but chunks: adapters, batches on their way."""


def build_distributed(config: Config, folder: RunFolder) -> Parts:
    """Start Ray (or join the cluster), then all actors; engines, learner and simulators load side by side."""
    connect(config)
    interrupt_on_sigterm()  # Ray has set a handler of its own
    try:
        return _make_parts(config, folder)
    except BaseException:  # Ctrl-C among others: nothing that was begun may outlive this
        ray.shutdown()
        raise


def _make_parts(config: Config, folder: RunFolder) -> Parts:
    placement = place(config, ray.cluster_resources())
    names = [f"replica-{number}" for number in range(len(placement.replicas))]
    replicas = [
        _replica(config, name, options) for name, options in zip(names, placement.replicas, strict=True)
    ]
    actors = [
        _env_actor(config, options, names, folder, number)
        for number, options in enumerate(placement.env_actors)
    ]
    rewards = _reward_model(config, placement.reward_model)
    pay = reward_function(config)
    learner = RayLearner(
        lambda: [_learner_rank(config, pay, options) for options in placement.learner_ranks],
        folder.checkpoints,
    )
    served = RayReplicas(replicas)
    served.wait_for_all()
    fleet = RayFleet(actors, config.env.envs_per_actor)

    def close() -> None:
        fleet.close()
        served.close()
        learner.close()
        if rewards is not None:
            rewards.close()
        ray.shutdown()

    mortals: list[Mortal] = [fleet, served, learner, Nodes()]
    if rewards is not None:
        mortals.append(rewards)
    return Parts(fleet=fleet, learner=learner, replicas=served, rewards=rewards, mortals=mortals, close=close)


def connect(config: Config) -> None:
    """A Ray of our own in `local` mode, the running cluster otherwise; a connection that exists is kept."""
    if ray.is_initialized():
        return
    if config.run.mode is Mode.CLUSTER:
        joined = ray.init(address="auto", log_to_driver=False).address_info
        refuse_open_head(joined["gcs_address"], os.environ)
        if joined["webui_url"]:
            refuse_open_dashboard(joined["webui_url"], head=joined["gcs_address"])
    else:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=_object_store_bytes(config),
        )


def _object_store_bytes(config: Config) -> int:
    """What the buffer's budget can come to, twice over for the batch under way, and some slack."""
    decisions = (config.buffer.max_lag + 2) * config.learner.decisions_per_update
    frame_bytes = 3 * 256**2
    return 2 * decisions * frame_bytes + OBJECT_STORE_SLACK


def _replica(config: Config, name: str, options: Options) -> Any:
    actor = ray.remote(InferenceActor).options(
        name=name,
        max_restarts=-1,
        max_concurrency=MAX_CALLS,
        runtime_env={"env_vars": WORKER_VARIABLES},
        **options,
    )
    return actor.remote(config.policy.checkpoint, config.engine, config.policy.temperature)


def _env_actor(config: Config, options: Options, replicas: list[str], folder: RunFolder, number: int) -> Any:
    actor = ray.remote(EnvActor).options(
        max_restarts=-1, max_concurrency=2, runtime_env={"env_vars": WORKER_VARIABLES}, **options
    )
    return actor.remote(partial(loop_over_replicas, config, replicas, folder.episodes, number))


def _reward_model(config: Config, options: Options) -> RayRewardModel | None:
    if not config.reward.checkpoint:
        return None
    processor = load_processor(config.policy.checkpoint, config.env.suite)
    # Ray leaves GPUs visible to an actor that asks for none: its model would go where there is no room.
    hidden = {} if config.reward.num_gpus else {"CUDA_VISIBLE_DEVICES": ""}
    actor = ray.remote(concurrency_groups={"watch": 1})(RewardActor).options(
        max_restarts=-1, runtime_env={"env_vars": WORKER_VARIABLES | hidden}, **options
    )
    checkpoint = Path(config.reward.checkpoint).resolve()
    return RayRewardModel(
        actor.remote(checkpoint, processor.view_shape, config.reward.batch_size), config.reward.when_down
    )


def _learner_rank(config: Config, pay: RewardFunction, options: Options) -> Any:
    actor = ray.remote(concurrency_groups={"watch": 1, "ping": 1})(LearnerActor).options(
        runtime_env={"env_vars": WORKER_VARIABLES}, **options
    )
    return actor.remote(config, pay)
