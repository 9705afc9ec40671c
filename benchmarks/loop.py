"""The loop against its parts, and against a lockstep loop of the same parts; the controller at scale.

    python -m benchmarks.loop [--seconds 30] [--policy FOLDER]

In: nothing (a random tiny policy is made). Out: a table, and one JSON object on the last line. One core
simulates (a worker process), one serves (this process): each alone, then both joined by the rollout loop,
then in lockstep.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from actors.messages import Grant, Idle, Sealed
from actors.rollout import RolloutLoop
from core.config import EngineConfig
from core.types import Decision, Observation, Start, StateSource, TaskId
from envs.assets import resolve_assets
from envs.vector import EnvPool, EnvReady
from policy.engine import Engine
from policy.processing import Processor
from tests.cluster.fakes import InstantFleet
from tests.cluster.harness import Harness

TASK = TaskId(suite="libero_spatial", index=0)
INSTRUCTION = "pick up the black bowl and place it on the plate"
NUM_ENVS = 8
STATISTICS = {"q01": [-0.9] * 6 + [0.0], "q99": [0.9] * 6 + [1.0], "mask": [True] * 6 + [False]}


class EnginePolicy:
    """A `PolicyClient` over an engine in this process."""

    patience_s = 0.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self._engine.submit(key, observation, greedy, seed)

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        return self._engine.step() if self._engine.num_waiting else []  # type: ignore[return-value]


class InstantPolicy:
    """A `PolicyClient` without a policy: what remains is the environments' own speed."""

    patience_s = 1.0

    def __init__(self, processor: Processor) -> None:
        first, number = processor.config.action_ids.start, processor.num_action_tokens
        tokens = np.random.default_rng(0).integers(first, first + 256, number).astype(np.int32)
        self._decision = Decision(tokens=tokens, logprobs=np.zeros(number, np.float32), version=0)
        self._answers: list[tuple[int, Decision]] = []

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        self._answers.append((key, self._decision))

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        answers, self._answers = self._answers, []
        return answers


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


def lockstep(engine: Engine, processor: Processor, seconds: float) -> float:
    """Decisions/s when all environments step together, then all are decided on together."""
    pool = make_pool(processor)
    frames: dict[int, np.ndarray] = {}
    slot, decisions, began = 0, 0, 0.0

    def everybody(act: Callable[[int], None]) -> None:
        """A barrier: the next phase begins when the last environment is done."""
        nonlocal slot
        waiting = set(range(NUM_ENVS))
        for env in range(NUM_ENVS):
            act(env)
        while waiting:
            for event in pool.poll(1.0):
                assert isinstance(event, EnvReady)
                if event.terminated or event.truncated:
                    pool.reset(event.env, start(slot))
                    slot += 1
                else:
                    frames[event.env] = processor.view(event.frame)
                    waiting.discard(event.env)

    everybody(lambda env: pool.reset(env, start(1000 + env)))
    while not began or time.perf_counter() - began < seconds:
        observations = [Observation(frame=frames[env], instruction=INSTRUCTION) for env in range(NUM_ENVS)]
        actions = [processor.decode(decision.tokens) for decision in engine.act(observations)]
        everybody(lambda env, actions=actions: pool.step(env, actions[env]))  # type: ignore[misc]
        began = began or time.perf_counter()
        decisions += NUM_ENVS
    rate = (decisions - NUM_ENVS) / (time.perf_counter() - began)
    pool.close()
    return rate


def controller_ms_per_chunk(num_envs: int, num_updates: int = 20, decisions: int = 8) -> float:
    """CPU of controller, buffer and curriculum over environments that take no time."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"run.num_updates={num_updates}",
            f"learner.decisions_per_update={num_envs * decisions}",
            "run.checkpoint_every=0",
        ]
        harness = Harness(Path(folder), words, fleet=InstantFleet(num_envs, decisions))
        began = time.process_time()
        with redirect_stdout(StringIO()):
            harness.controller.run()
        return (time.process_time() - began) / (num_envs * num_updates) * 1e3


def random_policy(folder: Path) -> Path:
    from policy.presets import make_tiny

    make_tiny(folder, "tiny")
    (folder / "dataset_statistics.json").write_text(json.dumps({TASK.suite: {"action": STATISTICS}}))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--policy", type=Path, help="a policy folder instead of a random tiny one")
    args = parser.parse_args()
    from policy.checkpoint import load_processor

    results = {f"controller_ms_per_chunk_{n}": controller_ms_per_chunk(n) for n in (16, 64, 256)}
    with tempfile.TemporaryDirectory() as folder:
        policy = args.policy or random_policy(Path(folder) / "tiny")
        processor = load_processor(policy, TASK.suite)
        engine = Engine(policy, EngineConfig(max_num_seqs=NUM_ENVS), temperature=1.0)
        results["environments_alone"] = joined(InstantPolicy(processor), processor, args.seconds)
        results["engine_alone"] = engine_alone(engine, processor, args.seconds)
        results["loop"] = joined(EnginePolicy(engine), processor, args.seconds)
        drain(engine)
        results["lockstep"] = lockstep(engine, processor, args.seconds)
        engine.close()
    smaller = min(results["environments_alone"], results["engine_alone"])
    results["loop_against_smaller"] = results["loop"] / smaller
    results["loop_against_lockstep"] = results["loop"] / results["lockstep"]
    for name, value in results.items():
        print(f"{name:<32}{value:10.3f}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
