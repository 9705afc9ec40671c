"""The whole loop against a lockstep loop of the same parts, as the paper's code has it: step all, infer all,
and when enough has been gathered, train (values included), while nothing else runs.

In: settings that both share. Out: decisions per second of each, end to end, and where lockstep's time goes.
Both have the same simulators, engine and learner on the same cores. The lockstep learner may use every core,
because it is alone: of one thread and of all, the faster is counted.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.episode import Episode
from actors.messages import Grant
from benchmarks.processes import measured_run
from core.config import Config, EngineConfig
from core.settings import load
from core.types import Adapter, Decision, Observation, Start, StateSource, TaskId, TrajectoryChunk
from envs import suites
from envs.assets import resolve_assets
from envs.vector import EnvPool, EnvReady
from learner.build import build_learner
from policy.processing import load_processor

SETTLING_UPDATES = 3
"""Of the loop; until then it trains on what the full buffer held before."""
NUM_THREADS = (1, os.cpu_count() or 1)


def loop_rate(
    words: list[str], runs: Path, name: str, num_updates: int
) -> tuple[float, list[dict[str, Any]]]:
    """Decisions/s of `vlarl train` once the buffer's content no longer helps; the metrics of all updates."""
    lines = measured_run(words, runs, name, SETTLING_UPDATES + num_updates)
    measured = lines[SETTLING_UPDATES:]
    decisions = sum(line["learner/decisions"] for line in measured)
    return decisions / (measured[-1]["time"] - lines[SETTLING_UPDATES - 1]["time"]), lines


def lockstep_rate(words: list[str], num_updates: int) -> tuple[float, dict[str, float]]:
    """Decisions/s of the lockstep loop after its first update, and seconds of each phase in an update."""
    with lockstep(load(None, words)) as loop:
        loop.update()
        loop.seconds.clear()
        for _ in range(num_updates):
            loop.update()
    seconds = {phase: float(np.mean(times)) for phase, times in loop.seconds.items()}
    trains = [seconds.pop(f"train, {threads} threads", float("inf")) for threads in NUM_THREADS]
    seconds["train"] = min(trains)
    return loop.decisions_per_update / sum(seconds.values()), seconds


@contextmanager
def lockstep(config: Config) -> Iterator["Lockstep"]:
    """A lockstep loop with its processes."""
    engine = ProcessPoolExecutor(
        1, get_context("spawn"), _start, (config.policy.checkpoint, config.engine, config.policy.temperature)
    )
    processor = load_processor(config.policy.checkpoint, config.env.suite)
    pool = EnvPool(
        config.env.envs_per_actor,
        num_workers=config.env.workers_per_actor,
        assets=resolve_assets(config.env.assets),
        size=processor.render_size,
        cameras=processor.cameras,
        max_steps=config.env.max_steps,
    )
    try:
        yield Lockstep(config, engine, pool)
    finally:
        pool.close()
        engine.shutdown()


class Lockstep:
    """One update is a rollout of all environments together, then training."""

    def __init__(self, config: Config, engine: ProcessPoolExecutor, pool: EnvPool) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.decisions_per_update = config.learner.decisions_per_update
        self._config, self._engine, self._pool = config, engine, pool
        self._num_envs = config.env.envs_per_actor
        self._task = TaskId(suite=config.env.suite, index=config.env.tasks[0])
        self._learner = build_learner(config)
        self._processor = self._learner.processor
        self._num_episodes = 0
        self._episodes = [self._begin(env) for env in range(self._num_envs)]
        self._sealed: list[TrajectoryChunk] = []
        self._wait_for(set(range(self._num_envs)))

    def update(self) -> None:
        """Gather, train, serve the new weights."""
        num_steps = self.decisions_per_update // self._num_envs
        spent: dict[str, float] = defaultdict(float)
        for step in range(num_steps):
            self._step(spent)
            if self._learner.number == 0 and step < self._num_envs:
                self._restart(step)
        for episode in self._episodes:
            if episode.decisions:
                frame = episode.frames.pop()
                self._sealed.append(episode.seal(frame, terminated=False, truncated=False))
                episode.frames.append(frame)
        for phase, seconds in spent.items():
            self.seconds[phase].append(seconds)
        self._train()

    def _step(self, spent: dict[str, float]) -> None:
        observations = [Observation(frame=e.frames[-1], instruction=e.instruction) for e in self._episodes]
        with _timed(spent, "infer all"):
            decisions = self._engine.submit(_act, observations).result()
        with _timed(spent, "step all"):
            for episode, decision in zip(self._episodes, decisions, strict=True):
                episode.decide(decision)
                self._pool.step(episode.env, self._processor.decode(decision.tokens))
            self._wait_for(set(range(self._num_envs)))

    def _train(self) -> None:
        threads = NUM_THREADS[self._learner.number % len(NUM_THREADS)]
        torch.set_num_threads(threads)
        spent: dict[str, float] = {}
        with _timed(spent, "train"):
            self._learner.update(self._sealed, {})
            self._engine.submit(_update, self._learner.adapter()).result()
        torch.set_num_threads(1)
        self.seconds[f"train, {threads} threads"].append(spent["train"])
        self._sealed = []

    def _wait_for(self, waiting: set[int]) -> None:
        """The barrier: nobody goes on before the last environment has stepped, or been reset."""
        while waiting:
            for event in self._pool.poll(1.0):
                assert isinstance(event, EnvReady)
                episode, frame = self._episodes[event.env], self._processor.view(event.frame)
                if episode.awaits_reward:
                    episode.earn(event.reward, event.info["num_steps"] - episode.num_steps)
                if event.terminated or event.truncated:
                    self._sealed.append(
                        episode.seal(frame, terminated=event.terminated, truncated=event.truncated)
                    )
                    self._episodes[event.env] = self._begin(event.env)
                else:
                    episode.frames.append(frame)
                    waiting.discard(event.env)

    def _restart(self, env: int) -> None:
        """Environments end their episodes at different times, as those of a policy that learns do."""
        self._episodes[env] = self._begin(env)
        self._wait_for({env})

    def _begin(self, env: int) -> Episode:
        start = Start(task=self._task, source=StateSource.FRESH, number=self._num_episodes)
        grant = Grant(slot=self._num_episodes, episode_id=str(self._num_episodes), start=start)
        self._num_episodes += 1
        self._pool.reset(env, start)
        return Episode(grant=grant, env=env, instruction=suites.task(self._task).instruction)


@contextmanager
def _timed(spent: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    spent[phase] = spent.get(phase, 0.0) + time.perf_counter() - started


def _start(checkpoint: str, config: EngineConfig, temperature: float) -> None:
    """In the engine's own process: vLLM changes torch globally."""
    from policy.engine import Engine

    _engines.append(Engine(checkpoint, config, temperature=temperature))


def _act(observations: list[Observation]) -> list[Decision]:
    return _engines[0].act(observations)


def _update(adapter: Adapter) -> None:
    _engines[0].update(adapter)


_engines: list[Any] = []
