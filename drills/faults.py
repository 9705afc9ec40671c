"""The faults that a process can be ordered to make in itself. Each is called in the process that is to fail.

In: whatever the order says. Out: a fault, once: what is replaced puts itself back when it is called.
"""

import ctypes
import time
from collections.abc import Callable
from typing import Any


def hold_gil(seconds: float) -> None:
    """No other Python thread of this process runs meanwhile: `PyDLL` keeps the interpreter's lock."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def poison_state() -> None:
    """The simulator's next step begins with a velocity that is not a number."""
    from envs.environment import LiberoEnv

    def poisoned(step: Callable[..., Any], env: Any, *args: Any) -> Any:
        env.data.qvel[:] = float("nan")
        return step(env, *args)

    _once(LiberoEnv, "step", poisoned)


def poison_reward() -> None:
    """The next reward is not a number."""
    from actors.episode import Episode

    _once(Episode, "earn", lambda earn, episode, _, num_steps: earn(episode, float("nan"), num_steps))


def poison_gradient() -> None:
    """The next backward pass brings gradients that are not numbers."""
    from learner.deepspeed_engine import DeepSpeedEngine

    _once(DeepSpeedEngine, "backward", lambda backward, engine, loss: backward(engine, loss * float("nan")))


def poison_adapter() -> None:
    """The adapter that the learner hands out after its next update is not numbers.

    Not simply the next one: that may be the one that goes into a checkpoint, which no replica sees.
    """
    from learner.learner import Learner

    def poisoned(export: Callable[..., Any], learner: Learner) -> Any:
        adapter = export(learner)
        for tensor in adapter.tensors.values():
            tensor[...] = float("nan")
        return adapter

    def update(original: Callable[..., Any], *args: Any) -> Any:
        report = original(*args)
        _once(Learner, "adapter", poisoned)
        return report

    _once(Learner, "update", update)


def fill_object_store(seconds: float) -> None:
    """Hold as much of it as it gives, for a while. In a process that is connected to Ray."""
    import numpy as np
    import ray

    free = ray.available_resources().get("object_store_memory", 0.0)
    block = 8 * 2**20
    held = [ray.put(np.zeros(block, np.uint8)) for _ in range(int(free // block))]
    time.sleep(seconds)
    held.clear()


def jump_clock(seconds: float) -> None:
    """This process's wall clock goes forward (or back) at once, and stays so."""
    real = time.time
    time.time = lambda: real() + seconds


def _once(owner: type, name: str, replacement: Callable[..., Any]) -> None:
    """Let `replacement` stand in for one call of a method; its first argument is the method itself."""
    original = getattr(owner, name)

    def stand_in(*args: Any, **arguments: Any) -> Any:
        setattr(owner, name, original)
        return replacement(original, *args, **arguments)

    setattr(owner, name, stand_in)
