"""Where everything runs: how a run's actors are spread over the machines and GPUs there are.

In: settings and the cluster's resources. Out: Ray options for each actor.

    local     one machine; processes are counted by us, not by Ray; one GPU is shared by replica and learner
    cluster   learner ranks packed together, replicas spread, environment actors spread where CPUs are free
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.config import Config, Mode

READY_TIMEOUT_S = 300.0

Options = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuShares:
    """GPUs (or fractions of one) that each actor gets."""

    learner_rank: float
    replica: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Ray options of every actor."""

    learner_ranks: list[Options]
    replicas: list[Options]
    env_actors: list[Options]
    reward_model: Options


def share_gpus(config: Config, num_gpus: float) -> GpuShares:
    """A whole GPU for each, or one GPU for all, or none."""
    ranks, replicas, width = (
        config.learner.num_ranks,
        config.engine.num_replicas,
        config.engine.tensor_parallel_size,
    )
    wanted = ranks + replicas * width
    if num_gpus == 0:
        return GpuShares(learner_rank=0, replica=0)
    if num_gpus >= wanted:
        return GpuShares(learner_rank=1, replica=width)
    if ranks == replicas == width == 1:
        fraction = config.engine.gpu_memory_fraction
        if num_gpus <= fraction:
            raise ValueError(
                f"of {num_gpus:g} GPUs engine.gpu_memory_fraction={fraction:g} leaves the learner nothing: "
                "lower it, or reward.num_gpus"
            )
        return GpuShares(learner_rank=min(1, num_gpus - fraction), replica=fraction)
    raise ValueError(
        f"{ranks} learner ranks and {replicas} replicas of {width} want {wanted} GPUs, not {num_gpus:g}; "
        "lower learner.num_ranks, engine.num_replicas or engine.tensor_parallel_size (one each can share)"
    )


def place(config: Config, resources: Mapping[str, float]) -> Placement:
    """Options for this run on a cluster with these resources."""
    num_gpus, for_rewards = resources.get("GPU", 0), config.reward.num_gpus
    if for_rewards and num_gpus <= for_rewards:
        raise ValueError(f"reward.num_gpus={for_rewards:g} leaves none of {num_gpus:g} GPUs for anybody else")
    if config.run.mode is Mode.CLUSTER and num_gpus == 0 and _is_for_gpus(config):
        raise ValueError(
            "no machine of the cluster has a GPU (yet), which bfloat16 is for: wait until `ray status` shows "
            "them, or set engine.dtype and learner.dtype to float32 to run on CPUs"
        )
    shares = share_gpus(config, num_gpus - for_rewards)
    if config.run.mode is Mode.LOCAL:
        return _place_locally(config, shares)
    return _place_on_cluster(config, shares)


def _is_for_gpus(config: Config) -> bool:
    return "bfloat16" in (config.engine.dtype, config.learner.dtype)


def _place_locally(config: Config, shares: GpuShares) -> Placement:
    return Placement(
        learner_ranks=[{"num_cpus": 0, "num_gpus": shares.learner_rank}] * config.learner.num_ranks,
        replicas=[{"num_cpus": 0, "num_gpus": shares.replica}] * config.engine.num_replicas,
        env_actors=[{"num_cpus": 0}] * config.env.num_actors,
        reward_model={"num_cpus": 0, "num_gpus": config.reward.num_gpus},
    )


def _place_on_cluster(config: Config, shares: GpuShares) -> Placement:
    return Placement(
        learner_ranks=_grouped(shares.learner_rank, config.learner.num_ranks, "PACK"),
        replicas=_grouped(shares.replica, config.engine.num_replicas, "SPREAD"),
        env_actors=[{"num_cpus": config.env.workers_per_actor, "scheduling_strategy": "SPREAD"}]
        * config.env.num_actors,
        reward_model={"num_cpus": 1, "num_gpus": config.reward.num_gpus},
    )


def _grouped(num_gpus: float, number: int, strategy: str) -> list[Options]:
    """Reserve `number` bundles at once, so that a run starts with all of them or says what is missing."""
    import ray
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    bundle = {"CPU": 1, "GPU": num_gpus} if num_gpus else {"CPU": 1}
    group = placement_group([bundle] * number, strategy=strategy)
    if not group.wait(READY_TIMEOUT_S):
        raise ValueError(f"the cluster has no room for {number} x {bundle}; it has {ray.cluster_resources()}")
    return [
        {
            "num_cpus": 1,
            "num_gpus": num_gpus,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                group, placement_group_bundle_index=index
            ),
        }
        for index in range(number)
    ]
