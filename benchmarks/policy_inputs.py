"""Observations for the policy's benchmarks: random frames, the instructions of libero_spatial."""

import numpy as np

from core.types import Observation
from envs.suites import suite_tasks


def observations(view_shape: tuple[int, int, int], number: int) -> list[Observation]:
    """The same ones every time."""
    frames = np.random.default_rng(0).integers(0, 256, (number, *view_shape), dtype=np.uint8)
    instructions = [task.instruction for task in suite_tasks("libero_spatial")]
    return [
        Observation(frame=frame, instruction=instructions[index % len(instructions)])
        for index, frame in enumerate(frames)
    ]
