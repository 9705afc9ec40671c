"""The loop against lockstep where every part has hardware of its own, in simulated time.

In: the settings of a cluster and its devices. Out: decisions per second of the loop and of lockstep loops.

On two cores everything shares, nothing can overlap: whoever waits leaves the core to another. What the loop
is made for shows where simulators, replicas and learner have devices of their own, and scheduling alone
decides who waits for whom. Real here: controller, buffer, curriculum, rollout loop. Pretended: simulators,
replicas and learner, which only take the time that `cluster/roofline.py` says, on a clock that jumps from one
event to the next. So the result is the same on every machine.
"""

import dataclasses
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from heapq import heappop, heappush
from io import StringIO
from itertools import count
from pathlib import Path

import numpy as np

from actors.rollout import RolloutLoop
from benchmarks.report import Row, at_least, below, reported
from cluster.plan import Devices, Plan, make_plan
from cluster.roofline import FRAME_S, GPUS, STEP_S, engine_seconds, roofline_costs, work_of
from core import settings
from core.config import Config
from core.types import Decision, Observation, RewardScores, Start, StateSource, TrajectoryChunk
from envs.vector import EnvFailed, EnvReady
from policy.configuration import OpenVLAConfig
from policy.tokens import ACTION_DIM
from tests.actors.fakes import FRAME_SHAPE, FakePolicy, FakePool, FakeView
from tests.cluster.fakes import FakeLearner, FakeReport
from tests.cluster.harness import TASKS, Harness

CLUSTER = Path(__file__).parent.parent / "experiments" / "openvla7b_cluster.yaml"
GPU, DEVICES = "H200", Devices(num_gpus=8, num_cores=128)
SETTLING_STEPS = 10
"""Of a reset."""
EPISODE = (60, 220)
"""Decisions of an episode: solved sooner or later, or given up."""
STEP_SPREAD = 0.5
"""A decision's steps take up to this share less or more than on average: contacts are dear."""
SETTLING_UPDATES = 3
PATIENCE_S = 1.0
"""The clock stops at every event anyway."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Seconds that each part takes, and how many there are of it."""

    plan: Plan
    simulation_s: float
    reset_s: float
    picture_s: float
    engine_round_s: float
    """Of a batch, whatever is in it."""
    engine_each_s: float
    max_num_seqs: int
    learner_s: float

    @property
    def num_envs(self) -> int:
        return self.plan.num_actors * self.plan.envs_per_actor


def durations(config: Config) -> Durations:
    """Of the published 7B policy, on the devices above, as many of each part as `vlarl plan` says."""
    policy, gpu, most = OpenVLAConfig(), GPUS[GPU], config.engine.max_num_seqs
    work = work_of(policy, config.policy.lora_rank)
    costs = roofline_costs(policy, work, gpu, config)
    alone = dataclasses.replace(config, engine=dataclasses.replace(config.engine, max_num_seqs=1))
    round_s = (engine_seconds(work, gpu, alone) - costs.engine_s) / (1 - 1 / most)
    return Durations(
        plan=make_plan(costs, DEVICES, max_num_seqs=most),
        simulation_s=costs.simulation_s,
        reset_s=SETTLING_STEPS * STEP_S + FRAME_S,
        picture_s=costs.picture_s,
        engine_round_s=round_s,
        engine_each_s=costs.engine_s - round_s / most,
        max_num_seqs=most,
        learner_s=costs.learner_s,
    )


class Clock:
    """Jumps from one event to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        heappush(self._events, (self.now + seconds, next(self._order), act))

    def wait(self, timeout_s: float = float("inf")) -> None:
        """Until something has happened, or this time is over."""
        until = self.now + timeout_s
        if not self._events or self._events[0][0] > until:
            self.now = until
            return
        self.now, _, act = heappop(self._events)
        act()


class Servers:
    """A queue before devices of one kind. One that is free takes what waits, `most` at once."""

    def __init__(self, clock: Clock, number: int, *, round_s: float = 0.0, most: int = 1) -> None:
        self._clock, self._free, self._round_s, self._most = clock, number, round_s, most
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()

    def ask(self, seconds: float, done: Callable[[], None]) -> None:
        self._queue.append((seconds, done))
        self._serve()

    def _serve(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            served = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            total_s = self._round_s + sum(seconds for seconds, _ in served)
            self._clock.after(total_s, partial(self._end, [done for _, done in served]))

    def _end(self, served: list[Callable[[], None]]) -> None:
        self._free += 1
        for done in served:
            done()
        self._serve()


class SlowPool(FakePool):
    """Environments whose steps and resets take a worker's time, and whose pictures take an actor's."""

    def __init__(self, clock: Clock, times: Durations) -> None:
        super().__init__(times.num_envs, plan=episode_of)
        self._clock, self._times = clock, times
        self._generator = np.random.default_rng(0)
        self._workers = Servers(clock, times.plan.num_actors * times.plan.workers_per_actor)
        self._actors = Servers(clock, times.plan.num_actors)

    def reset(self, env: int, start: Start) -> None:
        self._after(self._times.reset_s, partial(super().reset, env, start))

    def step(self, env: int, actions: np.ndarray) -> None:
        unevenly = self._generator.uniform(1 - STEP_SPREAD, 1 + STEP_SPREAD)
        self._after(self._times.simulation_s * unevenly, partial(super().step, env, actions))

    def poll(self, timeout_s: float) -> list[EnvReady | EnvFailed]:
        if not self.events:
            self._clock.wait(timeout_s)
        return super().poll(timeout_s)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._workers.ask(seconds, lambda: self._actors.ask(self._times.picture_s, act))


class SlowPolicy(FakePolicy):
    """Answers take a replica's time."""

    def __init__(self, clock: Clock, times: Durations) -> None:
        super().__init__(patience_s=PATIENCE_S)
        self._clock, self._each_s = clock, times.engine_each_s
        replicas, most = times.plan.num_replicas, times.max_num_seqs
        self._replicas = Servers(clock, replicas, round_s=times.engine_round_s, most=most)

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        answer = partial(super().submit, key, observation, greedy=greedy, seed=seed)
        self._replicas.ask(self._each_s, answer)

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        if not self.waiting:
            self._clock.wait(timeout_s)
        return super().poll(timeout_s)


class SlowLearner(FakeLearner):
    """An update takes its ranks' time."""

    def __init__(self, clock: Clock, times: Durations) -> None:
        super().__init__()
        self.ended: list[float] = []
        self._clock, self._decision_s = clock, times.learner_s / times.plan.num_ranks
        self._is_computing = False

    def start(self, payloads: Sequence[TrajectoryChunk], scores: dict[str, RewardScores]) -> None:
        super().start(payloads, scores)
        self._is_computing = True
        self._clock.after(self._decision_s * sum(chunk.num_decisions for chunk in payloads), self._end)

    def finished(self) -> FakeReport | None:
        return None if self._is_computing else super().finished()

    def _end(self) -> None:
        self._is_computing = False
        self.ended.append(self._clock.now)


def episode_of(start: Start) -> tuple[int, bool]:
    """How many decisions it takes and whether it succeeds, by its number."""
    shortest, longest = EPISODE
    length = shortest + start.number * 7919 % (longest - shortest + 1)
    return length, length < longest


def loop_rate(config: Config, times: Durations, num_updates: int) -> tuple[float, int]:
    """Decisions/s of the loop once it runs evenly, and its largest lag."""
    clock = Clock()
    policy, learner = SlowPolicy(clock, times), SlowLearner(clock, times)
    fleet = RolloutLoop(
        SlowPool(clock, times),
        policy,
        FakeView(),
        num_envs=times.num_envs,
        instruction=str,
        chunk_decisions=config.buffer.chunk_decisions,
    )
    words = [
        f"run.num_updates={SETTLING_UPDATES + num_updates}",
        "run.checkpoint_every=0",
        f"learner.decisions_per_update={config.learner.decisions_per_update}",
        f"buffer.chunk_decisions={config.buffer.chunk_decisions}",
        f"buffer.max_lag={config.buffer.max_lag}",
    ]
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        Harness(Path(folder), words, fleet=fleet, learner=learner, policy=policy).controller.run()
    decisions_an_update = sum(chunk.num_decisions for chunk in learner.trained) / len(learner.ended)
    measured_s = learner.ended[-1] - learner.ended[SETTLING_UPDATES - 1]
    return num_updates * decisions_an_update / measured_s, int(max(learner.lags))


def lockstep_rate(config: Config, times: Durations) -> float:
    """Decisions/s of step all, infer all, again and again, and with enough of them train, values included."""
    clock = Clock()
    pool, policy = SlowPool(clock, times), SlowPolicy(clock, times)
    starts = (Start(task=TASKS[0], source=StateSource.FRESH, number=number) for number in count())
    for env in range(times.num_envs):
        pool.reset(env, next(starts))
    observation, rounds = Observation(frame=np.zeros(FRAME_SHAPE, np.uint8), instruction=""), 0
    while rounds * times.num_envs < SETTLING_UPDATES * config.learner.decisions_per_update:
        waiting = times.num_envs
        while waiting:
            for event in pool.poll(PATIENCE_S):
                assert isinstance(event, EnvReady)
                if event.terminated or event.truncated:
                    pool.reset(event.env, next(starts))
                else:
                    waiting -= 1
        for env in range(times.num_envs):
            policy.submit(env, observation, greedy=False, seed=0)
        answered: set[int] = set()
        while len(answered) < times.num_envs:
            answered |= {key for key, _ in policy.poll(PATIENCE_S)}
        for env in answered:
            pool.step(env, np.zeros((1, ACTION_DIM)))
        rounds += 1
    rollout_s = clock.now / (rounds * times.num_envs)
    return 1 / (rollout_s + times.learner_s / times.plan.num_ranks)


def on_every_device(times: Durations) -> Durations:
    """As many simulators as there are cores, and every GPU for whatever is computed now."""
    actors = DEVICES.num_gpus
    spread = dataclasses.replace(
        times.plan,
        num_replicas=DEVICES.num_gpus,
        num_ranks=DEVICES.num_gpus,
        num_actors=actors,
        workers_per_actor=DEVICES.num_cores // actors - 1,
        envs_per_actor=times.num_envs // actors,
    )
    return dataclasses.replace(times, plan=spread)


def rows(num_updates: int = 10) -> list[Row]:
    """The same devices in the same roles; reported only, the best that lockstep could make of them."""
    config = settings.load(CLUSTER, [])
    times = durations(config)
    rate, lag = loop_rate(config, times, num_updates)
    same, best = lockstep_rate(config, times), lockstep_rate(config, on_every_device(times))
    note = f"{rate:.0f} decisions/s against {same:.0f}; planned {times.plan.decisions_per_s:.0f}"
    on = f"7B on {DEVICES.num_gpus} {GPU}, simulated time"
    return [
        at_least(f"loop / lockstep, {on}", rate / same, 2, note),
        reported("the same, lockstep's GPUs change roles, all cores", rate / best, f"against {best:.0f}"),
        below(f"largest policy lag, {on}", lag, config.buffer.max_lag + 1),
    ]
