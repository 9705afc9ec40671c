"""How GPUs are shared, by hand."""

import re

import pytest

from cluster.placement import GpuShares, place, share_gpus
from core import settings
from core.config import Config


def config(*words: str) -> Config:
    return settings.load(None, list(words))


@pytest.mark.parametrize(
    ("words", "num_gpus", "learner_rank", "replica"),
    [
        ([], 0, 0, 0),
        ([], 2, 1, 1),
        (["engine.tensor_parallel_size=2", "learner.num_ranks=2"], 4, 1, 2),
        (["engine.gpu_memory_fraction=0.25"], 1, 0.75, 0.25),
        (["engine.gpu_memory_fraction=0.25"], 1.5, 1, 0.25),  # of two, where the reward model has a half
    ],
)
def test_shares(words: list[str], num_gpus: float, learner_rank: float, replica: float) -> None:
    assert share_gpus(config(*words), num_gpus) == GpuShares(learner_rank=learner_rank, replica=replica)


def test_too_few_gpus_are_refused_with_the_settings_to_lower() -> None:
    with pytest.raises(ValueError, match=r"want 4 GPUs, not 2; lower learner\.num_ranks"):
        share_gpus(config("learner.num_ranks=2", "engine.num_replicas=2"), 2)


@pytest.mark.parametrize(
    ("words", "num_gpus", "message"),
    [
        (["reward.checkpoint=x", "reward.num_gpus=1"], 1, "leaves none of 1 GPUs"),
        (
            ["reward.checkpoint=x", "reward.num_gpus=0.7"],
            1,
            "engine.gpu_memory_fraction=0.4 leaves the learner nothing",
        ),
        (["run.mode=cluster", "learner.dtype=bfloat16"], 0, "no machine of the cluster has a GPU (yet)"),
    ],
)
def test_what_would_leave_somebody_without_a_gpu_is_refused(
    words: list[str], num_gpus: float, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        place(config(*words), {"CPU": 8, "GPU": num_gpus})


def test_a_single_machine_is_not_limited_by_ray_s_count_of_cores() -> None:
    placement = place(config("env.num_actors=3"), {"CPU": 1})
    assert [options["num_cpus"] for options in placement.env_actors] == [0, 0, 0]
    assert len(placement.replicas) == len(placement.learner_ranks) == 1
