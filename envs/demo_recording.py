"""Recording and replaying the expert's episodes. In: a `Recording` (task, how many, how noisy). Out: files,
verdicts.

Episodes are simulated in worker processes and written by the caller, one file per task, in the order of
their start numbers: the same recording gives the same file whatever the number of processes.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.config import RenderMode
from core.types import MAIN_CAMERA, NUM_PUBLISHED_STATES, WRIST_CAMERA, Start, StateSource, TaskId
from envs.assets import resolve_assets
from envs.demos import Demo, DemoFile, DemoWriter, demo_path
from envs.environment import LiberoEnv
from envs.expert import Expert
from envs.orphans import die_with
from envs.suites import task

STEPS_AFTER_SUCCESS = 15
"""Success fires while an object is still held: letting go is part of the lesson."""
STEPS_AFTER_GIVING_UP = 15
ATTEMPTS_PER_EPISODE = 5
EPISODES_AHEAD = 8
"""Simulated before they are asked for, so that no process waits while another's slower episode is next."""
REPLAY_TOLERANCE = 1e-6
"""A replay repeats the same floating-point operations; anything more is another simulator or other assets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """How the episodes of one task are made; two equal ones give equal files."""

    suite: str
    task: int
    assets: str
    """primitive, libero, or a folder."""
    episodes: int
    noise: float
    size: int
    """Pixels of the square picture."""
    source: str
    first: int
    """Number of the first start."""
    keep_failures: bool

    @property
    def max_attempts(self) -> int:
        """Published starts run out."""
        if StateSource(self.source) is StateSource.PUBLISHED:
            return NUM_PUBLISHED_STATES - self.first
        return ATTEMPTS_PER_EPISODE * self.episodes

    def start(self, offset: int) -> Start:
        task_id = TaskId(suite=self.suite, index=self.task)
        return Start(task=task_id, source=StateSource(self.source), number=self.first + offset)


def record(
    recording: Recording, out: Path, pool: ProcessPoolExecutor, report: Callable[[Demo], None]
) -> tuple[Path, bool]:
    """The task's file, and whether it had to be made: one that is there already, made the same way, is
    kept."""
    recorded = task(TaskId(suite=recording.suite, index=recording.task))
    path = demo_path(out, recorded)
    if path.exists():
        _check_same(path, recording)
        return path, False
    with DemoWriter(path, recorded, asdict(recording)) as writer:
        for demo in _wanted(recording, pool):
            writer.add(demo)
            report(demo)
    return path, True


def worker_pool(num_processes: int) -> ProcessPoolExecutor:
    """Its processes end with this one."""
    return ProcessPoolExecutor(
        num_processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with,
        initargs=(os.getpid(),),
    )


def record_episode(recording: Recording, start: Start) -> Demo:
    """One episode of the expert, from reset to some steps after its success or surrender."""
    env = _environment(recording)
    observation, info = env.reset(start)
    expert = Expert(env, noise=recording.noise, seed=start.number)
    log: list[dict[str, Any]] = []
    num_steps, steps_left = 0, env.task.max_steps
    while steps_left > 0:
        steps_left -= 1
        action = expert.act()
        log.append(_sample(env, observation, action.clean, action.executed, action.phase))
        observation, _, success, _, info = env.step(action.executed)
        if success and num_steps == 0:
            num_steps, steps_left = info["num_steps"], STEPS_AFTER_SUCCESS
        elif expert.done and num_steps == 0:
            steps_left = min(steps_left, STEPS_AFTER_GIVING_UP)
    return _demo(log, start, num_steps)


def replay(demo: Demo, assets: Path) -> tuple[bool, float]:
    """Executes the actions again from the stored start: (success, largest difference of the states on the
    way)."""
    if demo.start is None:
        raise ValueError(
            "This file does not say how its episodes began (places of fixtures, state of the controller), "
            "so it cannot be replayed; files made by `vlarl demos record` can."
        )
    env = LiberoEnv(task(demo.start.task), assets=assets, render=None)
    env.reset(demo.start)
    success, difference = False, 0.0
    for state, action in zip(demo.states, demo.actions, strict=True):
        difference = max(difference, float(np.abs(env.state() - state).max()))
        success |= env.step(action)[2]
    return success, difference


def _wanted(recording: Recording, pool: ProcessPoolExecutor) -> Iterator[Demo]:
    """As many demonstrations as asked for, in the order of their starts; failures only if they are wanted."""
    pending: deque[Future[Demo]] = deque()
    attempts = found = 0
    if recording.episodes > recording.max_attempts:
        raise ValueError(
            f"{recording.episodes} episodes from published start {recording.first} on: a task has "
            f"{NUM_PUBLISHED_STATES} such starts."
        )
    while found < recording.episodes:
        ahead = min(EPISODES_AHEAD, recording.episodes - found, recording.max_attempts - attempts)
        while len(pending) < ahead:
            start = recording.start(attempts + len(pending))
            pending.append(pool.submit(record_episode, recording, start))
        if not pending:
            raise ValueError(
                f"The expert solved {recording.suite} task {recording.task} in {found} of {attempts} tries "
                f"with noise {recording.noise}; use less noise, or keep the failures."
            )
        demo = pending.popleft().result()
        attempts += 1
        if demo.success or recording.keep_failures:
            found += 1
            yield demo


@lru_cache(maxsize=1)
def _environment(recording: Recording) -> LiberoEnv:
    """One per process; rebuilt when the recording changes."""
    recorded = task(TaskId(suite=recording.suite, index=recording.task))
    return LiberoEnv(
        recorded,
        assets=resolve_assets(recording.assets),
        render=RenderMode.FAST,
        size=recording.size,
        cameras=(MAIN_CAMERA, WRIST_CAMERA),
    )


def _sample(
    env: LiberoEnv, observation: dict[str, np.ndarray], clean: np.ndarray, executed: np.ndarray, phase: str
) -> dict[str, Any]:
    proprio = observation["proprio"]
    frame, wrist_frame = np.split(observation["frame"], 2, axis=1)
    return {
        "frames": frame,
        "wrist_frames": wrist_frame,
        "actions": executed,
        "clean_actions": clean,
        "phases": phase,
        "states": env.state(),
        "end_effector": proprio[:6],
        "gripper": proprio[6:],
        "joints": env.data.qpos[env.problem.robots[0]._ref_joint_pos_indexes].copy(),
    }


def _demo(log: list[dict[str, Any]], start: Start, num_steps: int) -> Demo:
    columns: dict[str, Any] = {name: [row[name] for row in log] for name in log[0]}
    phases = tuple(columns.pop("phases"))
    return Demo(
        **{name: np.stack(values) for name, values in columns.items()},
        phases=phases,
        success=num_steps > 0,
        num_steps=num_steps or len(log),
        start=start,
    )


def _check_same(path: Path, recording: Recording) -> None:
    with DemoFile(path) as demos:
        if demos.settings != asdict(recording):
            raise ValueError(
                f"{path} was recorded otherwise ({demos.settings}); delete it, or record into another folder."
            )
