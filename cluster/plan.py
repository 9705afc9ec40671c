"""How many of each part a machine or cluster wants, how fast that goes, and what will hold it up.

In: what a decision costs each part, and the devices there are. Out: numbers of environments, replicas and
learner ranks, decisions per second, the bottleneck. Pure arithmetic: where the costs come from is up to
`cluster/roofline.py` or `cluster/measurement.py`.

With GPUs each part has devices of its own and the slowest part sets the pace; without, all share the cores,
and a decision takes the sum of its costs. Then replicas mostly wait, so that their batches are small and a
decision of theirs is dearer than it would be in a full one.
"""

from dataclasses import dataclass
from enum import Enum
from math import ceil, exp

SIMULATION_SHARE = 0.8
"""How busy simulators are planned to be: a queue before a device that is always busy has no end."""
ENVS_PER_WORKER = 2
"""One steps while the other's frame is with the policy."""
WORKERS_PER_ACTOR = 8
TRIES = 20
"""For a pace that agrees with the batches it makes."""


class Stage(Enum):
    """Where a decision spends its time."""

    SIMULATION = "simulation"
    PICTURES = "environment actors (pictures)"
    INFERENCE = "inference"
    LEARNING = "learning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Device-seconds of one decision, each on a device of its own kind."""

    simulation_s: float
    """Core of a worker: K steps, one rendered frame, its share of a reset."""
    picture_s: float
    """Core of an environment actor: the model's view of a frame."""
    engine_s: float
    """GPU (or core) of a replica, its batch full."""
    learner_s: float
    """GPU (or core) of a learner rank, all epochs."""
    engine_round_s: float = 0.0
    """What a batch costs the replica before anything is in it; a full one's share of it is in `engine_s`."""

    @property
    def by_stage(self) -> dict[Stage, float]:
        costs = (self.simulation_s, self.picture_s, self.engine_s, self.learner_s)
        return dict(zip(Stage, costs, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What there is to run on."""

    num_gpus: int
    num_cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Numbers to run with, and what they promise."""

    num_replicas: int
    num_ranks: int
    num_actors: int
    workers_per_actor: int
    envs_per_actor: int
    decisions_per_s: float
    costs: dict[Stage, float]
    """Device-seconds of a decision at this pace."""
    capacities: dict[Stage, float]
    """Decisions per second that each stage could do if it never waited."""
    bottleneck: Stage
    cores_wanted: int
    """For simulation and pictures not to be the bottleneck."""
    shares_cores: bool = False
    """There is no GPU: all parts use the same cores."""

    @property
    def settings(self) -> list[str]:
        """As `key=value` words."""
        return [
            f"env.num_actors={self.num_actors}",
            f"env.envs_per_actor={self.envs_per_actor}",
            f"env.workers_per_actor={self.workers_per_actor}",
            f"engine.num_replicas={self.num_replicas}",
            f"learner.num_ranks={self.num_ranks}",
        ]


def make_plan(
    costs: Costs, devices: Devices, *, max_num_seqs: int, gather_s: float = 0.0, tensor_parallel: int = 1
) -> Plan:
    """The numbers that bring most decisions per second out of these devices."""
    if devices.num_gpus == 0:
        return _share_cores(costs, devices.num_cores, max_num_seqs, gather_s)
    replicas, ranks = _share_gpus(costs, devices.num_gpus, tensor_parallel)
    inference, learning = _gpu_rates(costs, devices.num_gpus, replicas * tensor_parallel, ranks)
    wanted = sum(_simulators_for(min(inference, learning), costs))
    workers, actors = _simulators_on(devices.num_cores, min(inference, learning), costs)
    capacities = {
        Stage.SIMULATION: workers * SIMULATION_SHARE / costs.simulation_s,
        Stage.PICTURES: actors * SIMULATION_SHARE / costs.picture_s,
        Stage.INFERENCE: inference,
        Stage.LEARNING: learning,
    }
    bottleneck = min(capacities, key=lambda stage: (capacities[stage], -costs.by_stage[stage]))
    in_flight = replicas * max_num_seqs * capacities[bottleneck] / inference
    return Plan(
        num_replicas=replicas,
        num_ranks=ranks,
        num_actors=actors,
        workers_per_actor=ceil(workers / actors),
        envs_per_actor=ceil((in_flight + ENVS_PER_WORKER * workers) / actors),
        decisions_per_s=capacities[bottleneck],
        costs=costs.by_stage,
        capacities=capacities,
        bottleneck=bottleneck,
        cores_wanted=wanted,
    )


def _share_cores(costs: Costs, num_cores: int, max_num_seqs: int, gather_s: float) -> Plan:
    """One of each part, and all use the same cores; simulators are as many as there are cores."""
    capacities = {stage: 1 / cost for stage, cost in costs.by_stage.items()}
    capacities[Stage.SIMULATION] *= num_cores
    slowest = min(capacities, key=capacities.__getitem__)
    round_s, spent, batch = costs.engine_round_s, costs.by_stage, 1.0
    each_s = costs.engine_s - round_s / max_num_seqs
    for _ in range(TRIES):  # the pace makes the batches, and their price the pace
        spent[Stage.INFERENCE] = each_s + round_s / batch
        together = num_cores / sum(spent.values())
        batch = min(_batch(together, spent[Stage.INFERENCE] * batch, gather_s), max_num_seqs)
    dearest = max(spent, key=spent.__getitem__)
    return Plan(
        num_replicas=1,
        num_ranks=1,
        num_actors=1,
        workers_per_actor=num_cores,
        envs_per_actor=2 * ENVS_PER_WORKER * num_cores,
        decisions_per_s=min(together, capacities[slowest]),
        costs=spent,
        capacities=capacities,
        bottleneck=dearest if together < capacities[slowest] else slowest,
        cores_wanted=ceil(sum(costs.by_stage.values()) * capacities[slowest]),
        shares_cores=True,
    )


def _batch(rate: float, busy_s: float, gather_s: float) -> float:
    """What a replica decides on together, on average: what came while it gathered or was busy, or one."""
    came = rate * busy_s
    return max(1 + rate * gather_s, came + exp(-came))


def _share_gpus(costs: Costs, num_gpus: int, tensor_parallel: int) -> tuple[int, int]:
    """Replicas and learner ranks whose slower side is fastest; one GPU is shared by one of each."""
    if num_gpus == tensor_parallel == 1:
        return 1, 1
    if num_gpus <= tensor_parallel:
        raise ValueError(
            f"{num_gpus} GPUs are too few for a replica of engine.tensor_parallel_size={tensor_parallel} "
            "and a learner rank"
        )

    def slower_side(replicas: int) -> float:
        served_by = replicas * tensor_parallel
        return min(served_by / costs.engine_s, (num_gpus - served_by) / costs.learner_s)

    replicas = max(range(1, (num_gpus - 1) // tensor_parallel + 1), key=slower_side)
    return replicas, num_gpus - replicas * tensor_parallel


def _gpu_rates(costs: Costs, num_gpus: int, serving: int, ranks: int) -> tuple[float, float]:
    """Decisions per second of all replicas, and of all ranks; on a shared GPU they take turns."""
    if serving + ranks > num_gpus:
        together = 1 / (costs.engine_s + costs.learner_s)
        return together, together
    return serving / costs.engine_s, ranks / costs.learner_s


def _simulators_for(rate: float, costs: Costs) -> tuple[int, int]:
    """Workers, and actors with enough time for the pictures, for so many decisions per second."""
    workers = ceil(rate * costs.simulation_s / SIMULATION_SHARE)
    pictures = ceil(rate * costs.picture_s / SIMULATION_SHARE)
    return workers, max(pictures, ceil(workers / WORKERS_PER_ACTOR))


def _simulators_on(num_cores: int, rate: float, costs: Costs) -> tuple[int, int]:
    """The same, as far as each finds a core of its own."""
    while sum(_simulators_for(rate, costs)) > max(num_cores, 2):
        rate *= 0.95
    return _simulators_for(rate, costs)
