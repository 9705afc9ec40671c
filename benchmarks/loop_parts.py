"""The rollout loop against its parts: environments alone, engine alone, both joined.

In: a policy folder. Out: decisions per second of each. One core simulates (a worker process), one serves
(this process).
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from actors.engine_policy import EnginePolicy
from actors.messages import Grant, Idle, Sealed
from actors.rollout import RolloutLoop
from benchmarks.report import Row, at_least
from cluster.measurement import InstantPolicy
from core.config import EngineConfig
from core.types import Observation, Start, StateSource, TaskId
from envs.assets import resolve_assets
from envs.vector import EnvPool
from policy.engine import Engine
from policy.processing import Processor, load_processor

TASK = TaskId(suite="libero_spatial", index=0)
INSTRUCTION = "pick up the black bowl and place it on the plate"
NUM_ENVS = 8


def parts_row(policy: Path, seconds: float) -> Row:
    """The loop without its learner against the slower of its two halves."""
    processor = load_processor(policy, TASK.suite)
    engine = Engine(policy, EngineConfig(max_num_seqs=NUM_ENVS), temperature=1.0)
    environments = joined(InstantPolicy(some_tokens(processor)), processor, seconds)
    served = engine_alone(engine, processor, seconds)
    loop = joined(EnginePolicy(engine), processor, seconds)
    engine.close()
    note = f"{loop:.1f} decisions/s; environments alone {environments:.1f}, engine alone {served:.1f}"
    return at_least("loop / the smaller of its parts alone", loop / min(environments, served), 0.85, note)


def some_tokens(processor: Processor) -> np.ndarray:
    ids = processor.config.action_ids
    return (
        np.random.default_rng(0).integers(ids.start, ids.stop, processor.num_action_tokens).astype(np.int32)
    )


def start(number: int) -> Start:
    return Start(task=TASK, source=StateSource.FRESH, number=number)


def make_pool(processor: Processor) -> EnvPool:
    assets = resolve_assets("auto")
    return EnvPool(
        NUM_ENVS,
        num_workers=1,
        assets=assets,
        size=processor.render_size,
        cameras=processor.cameras,
        max_steps=80,
    )


def joined(policy: Any, processor: Processor, seconds: float) -> float:
    """Decisions/s of the rollout loop, after every environment has sealed once."""
    loop = RolloutLoop(
        make_pool(processor), policy, processor, num_envs=NUM_ENVS, instruction=lambda _: INSTRUCTION
    )
    slot, decisions, warm, began = 0, 0, set[int](), 0.0
    while not began or time.perf_counter() - began < seconds:
        for event in loop.poll(0.1):
            if isinstance(event, Idle):
                loop.go(event.env, Grant(slot=slot, episode_id=str(slot), start=start(slot)))
                slot += 1
            elif isinstance(event, Sealed):
                decisions += event.num_decisions
                warm.add(event.env)
        if not began and len(warm) == NUM_ENVS:
            began, decisions = time.perf_counter(), 0
    rate = decisions / (time.perf_counter() - began)
    loop.close()
    return rate


def engine_alone(engine: Engine, processor: Processor, seconds: float) -> float:
    """Decisions/s with as many requests in flight as there are environments."""
    frame = np.zeros(processor.view_shape, np.uint8)
    observation = Observation(frame=frame, instruction=INSTRUCTION)
    for key in range(NUM_ENVS):
        engine.submit(key, observation)
    began, decisions = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for answered, _ in engine.step():
            decisions += 1
            engine.submit(answered, observation)
    rate = decisions / (time.perf_counter() - began)
    drain(engine)
    return rate


def drain(engine: Engine) -> None:
    """Answer what is still asked, for nobody."""
    while engine.num_waiting:
        engine.step()
