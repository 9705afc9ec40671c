"""What a decision costs each part on this machine, measured part by part.

In: settings with a policy. Out: `cluster.plan.Costs`. Each part runs in a process of its own, as it does in a
run, but needs none of the others. Without a GPU all work at the same time, because in a run they do, and
shared cores and caches make each of them slower: CPU time is counted. With a GPU they work one after the
other, and for engine and learner it is time on the wall.
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np

from cluster.plan import Costs
from cluster.tasks import chosen_tasks
from core.config import Config
from core.types import Decision, Observation, Start, StateSource, TrajectoryChunk

CHUNK_DECISIONS = 16
"""Of the made-up chunks that the learner is measured on."""


def measure(config: Config, seconds: float) -> Costs:
    """Each part for about so long."""
    import torch

    parts = (_environments, _engine, _learner)
    groups = [(part,) for part in parts] if torch.cuda.is_available() else [parts]
    (simulation_s, picture_s), (engine_s, engine_round_s), learner_s = (
        cost for group in groups for cost in _together(group, config, seconds)
    )
    return Costs(
        simulation_s=simulation_s,
        picture_s=picture_s,
        engine_s=engine_s,
        learner_s=learner_s,
        engine_round_s=engine_round_s,
    )


class InstantPolicy:
    """A `PolicyClient` without a policy: what remains is the environments' own cost."""

    patience_s = 1.0

    def __init__(self, tokens_A: np.ndarray) -> None:
        """Answers every observation with these tokens."""
        logprobs_A = np.zeros(len(tokens_A), np.float32)
        self._decision = Decision(tokens=tokens_A, logprobs=logprobs_A, version=0)
        self._answers: list[tuple[int, Decision]] = []

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self._answers.append((key, self._decision))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        answers, self._answers = self._answers, []
        return answers


def _together(parts: Sequence[Callable[..., Any]], config: Config, seconds: float) -> list[Any]:
    """What each finds while the others of the group work as well."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(parts), mp_context=context) as processes:
        ready = manager.Barrier(len(parts))
        futures = [processes.submit(_measured, part, config, seconds, ready) for part in parts]
        failures = [failure for future in futures if (failure := future.exception()) is not None]
        failures.sort(key=lambda failure: isinstance(failure, BrokenBarrierError))  # the cause comes first
        if failures:
            raise failures[0]
        return [future.result() for future in futures]


def _measured(part: Callable[..., Any], config: Config, seconds: float, ready: Barrier) -> Any:
    try:
        return part(config, seconds, ready)
    except BaseException:
        ready.abort()  # nobody needs to wait for this one
        raise


def _environments(config: Config, seconds: float, ready: Barrier) -> tuple[float, float]:
    """CPU-seconds per decision of a worker (its share of a reset included) and of the actor that owns it.

    What it takes to build the first simulation is left out.
    """
    import psutil

    from actors.environments import make_loop
    from actors.messages import Failed, Grant, Idle, Sealed
    from policy.processing import load_processor

    processor = load_processor(config.policy.checkpoint, config.env.suite)
    ids = processor.config.action_ids
    no_motion = (ids.start + ids.stop) // 2
    policy = InstantPolicy(np.full(processor.num_action_tokens, no_motion, np.int32))
    alone = dataclasses.replace(config.env, envs_per_actor=1, workers_per_actor=1)
    task, slot, decisions, began = chosen_tasks(config)[0].id, 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        loop = make_loop(dataclasses.replace(config, env=alone), policy, Path(folder))
        worker = min(psutil.Process().children(), key=lambda child: child.pid)  # its spare came later
        while not began or time.monotonic() - began < seconds or not decisions:
            for event in loop.poll(1.0):
                if isinstance(event, Failed):
                    raise RuntimeError(f"the environment does not work: {event.reason}")
                if isinstance(event, Idle):
                    start = Start(task=task, source=StateSource.FRESH, number=slot)
                    loop.go(event.env, Grant(slot=slot, episode_id=str(slot), start=start))
                    slot += 1
                elif isinstance(event, Sealed) and began:
                    decisions += event.num_decisions
                elif isinstance(event, Sealed):
                    ready.wait()
                    began, worker_began, own_began = time.monotonic(), _cpu_s(worker), time.process_time()
        costs = (_cpu_s(worker) - worker_began) / decisions, (time.process_time() - own_began) / decisions
        loop.close()
    return costs


def _engine(config: Config, seconds: float, ready: Barrier) -> tuple[float, float]:
    """Per decision with as many requests as the engine takes at a time; and per batch whatever its size."""
    from policy.engine import Engine
    from policy.processing import load_processor

    processor = load_processor(config.policy.checkpoint, config.env.suite)
    engine = Engine(config.policy.checkpoint, config.engine, temperature=config.policy.temperature)
    observation = Observation(
        frame=np.zeros(processor.view_shape, np.uint8), instruction=chosen_tasks(config)[0].instruction
    )
    number = config.engine.max_num_seqs
    engine.act([observation] * number)
    ready.wait()
    full, single = (
        _cost_of_rounds(partial(engine.act, [observation] * size), size, seconds / 2) for size in (number, 1)
    )
    engine.close()
    round_s = (single - full) * number / (number - 1) if number > 1 else 0.0
    return full, max(round_s, 0.0)


def _learner(config: Config, seconds: float, ready: Barrier) -> float:
    """Updates of one minibatch each, the policy trained and not only the critic."""
    from learner.build import build_learner

    one_minibatch = dataclasses.replace(config.learner, decisions_per_update=config.learner.minibatch_size)
    warm = dataclasses.replace(config.critic, warmup_updates=0)
    learner = build_learner(dataclasses.replace(config, learner=one_minibatch, critic=warm))
    number = -(-config.learner.minibatch_size // CHUNK_DECISIONS)
    chunks = [_made_up_chunk(learner.processor, config, index) for index in range(number)]
    learner.update(chunks, {})
    ready.wait()
    return _cost_of_rounds(lambda: learner.update(chunks, {}), number * CHUNK_DECISIONS, seconds)


def _cost_of_rounds(act: Callable[[], Any], num_decisions: int, seconds: float) -> float:
    """Seconds per decision."""
    import torch

    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    rounds, began = 0, clock()
    while not rounds or clock() - began < seconds:
        act()
        rounds += 1
    return (clock() - began) / (rounds * num_decisions)


def _made_up_chunk(processor: Any, config: Config, index: int) -> TrajectoryChunk:
    """Noise in the right shapes."""
    rng = np.random.default_rng(index)
    ids, shape = processor.config.action_ids, (CHUNK_DECISIONS, processor.num_action_tokens)
    task = chosen_tasks(config)[0]
    return TrajectoryChunk(
        id=f"{index}/0",
        episode_id=str(index),
        index=0,
        first_decision=0,
        start=Start(task=task.id, source=StateSource.FRESH, number=index),
        instruction=task.instruction,
        frames=rng.integers(0, 256, (CHUNK_DECISIONS, *processor.view_shape), np.uint8),
        tokens=rng.integers(ids.start, ids.stop, shape, np.int32),
        logprobs=np.full(shape, -np.log(len(ids)), np.float32),
        versions=np.zeros(CHUNK_DECISIONS, np.int64),
        rewards=np.eye(CHUNK_DECISIONS, dtype=np.float32)[-1],
        terminated=True,
        truncated=False,
        bootstrap_frame=None,
    )


def _cpu_s(process: Any) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
