"""Many environments over worker processes, each driven on its own.

             ┌─ reset, step ──► worker 0: environments 0, W, 2W, ... ──┐ frames: shared memory
    owner ───┤                                                         ├──► `poll`: EnvReady, EnvFailed
             └─ reset, step ──► worker 1: environments 1, W+1, ... ────┘ all else: a pipe per worker

In: `reset(env, start)` and `step(env, actions)`, which return at once. Out: `poll(timeout_s)` gives what is
ready, in the order in which it became so. Environments are never in lockstep. Those of one worker share its
CPU and the tasks that it has built, and wait for each other only that far: a worker serves requests as they
come, and builds a new task's simulation beside them.

Failure: an environment whose worker died or hung, whose state became NaN, or that raised is reported by
`EnvFailed` and refuses requests until `restart(env)`; that gives it a new process if it needs one, and the
next reset goes on. Others are not touched. A spare process, if there is one, is the new one: it has imported
everything and built a task. Workers hold nothing that outlives them, and the kernel ends them with their
owner.

Not for use by several threads at a time.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from core.config import RenderMode
from core.types import MAIN_CAMERA, Start, TaskId
from envs.messages import FailureKind, Raised, Reply, Request, Reset, Step
from envs.shared_frames import SharedFrames
from envs.simulator import LiberoSimulator, Simulator
from envs.worker_process import Limits, WorkerLostError, WorkerProcess

ACTION_SIZE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvReady:
    """A reset or a step is done."""

    env: int
    frame: np.ndarray
    """(H, cameras x W, 3) uint8, the reader's own: nothing overwrites it."""
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFailed:
    """The environment's episode is lost; `restart` it."""

    env: int
    kind: FailureKind
    reason: str


Event = EnvReady | EnvFailed


class _Status(Enum):
    NEEDS_RESET = "needs a reset first"
    READY = "is ready for a step"
    BUSY = "has a request in flight; wait for its event"
    FAILED = "has failed; restart it first"


@dataclass(slots=True, kw_only=True)
class _Slot:
    worker: int
    status: _Status = _Status.NEEDS_RESET
    task: TaskId | None = None
    """Of its last reset."""


class EnvPool:
    def __init__(
        self,
        num_envs: int,
        *,
        num_workers: int,
        assets: Path,
        render: RenderMode = RenderMode.FAST,
        size: int = 128,
        cameras: tuple[str, ...] = (MAIN_CAMERA,),
        max_steps: int = 0,
        seed: int = 0,
        step_timeout_s: float = 60.0,
        reset_timeout_s: float = 300.0,
        simulator: Callable[..., Simulator] = LiberoSimulator,
        has_spare: bool = False,
    ) -> None:
        """`max_steps` 0 is the suite's own limit; `seed` draws the places of fixtures. A spare process takes
        as much memory as a worker, and saves nine tenths of the CPU time of a restart.
        """
        if not 1 <= num_workers <= num_envs:
            raise ValueError(f"num_workers={num_workers}; allowed is 1 to num_envs={num_envs}.")
        self.num_envs = num_envs
        self._simulator = simulator(
            assets=assets, render=render, size=size, cameras=cameras, max_steps=max_steps, seed=seed
        )
        self._limits = Limits(step_s=step_timeout_s, reset_s=reset_timeout_s)
        self._frames = SharedFrames(num_envs, (size, size * len(cameras), 3))
        self._slots = [_Slot(worker=env % num_workers) for env in range(num_envs)]
        self._launcher = ThreadPoolExecutor(1)
        self._workers: list[WorkerProcess | None] = [self._launch(number) for number in range(num_workers)]
        self._has_spare = has_spare
        self._spare: WorkerProcess | None = None
        self._closed = False

    def reset(self, env: int, start: Start) -> None:
        """Begin an episode, whatever state the last one was in."""
        slot = self._slot(env)
        self._refuse_unless(env, slot.status in (_Status.NEEDS_RESET, _Status.READY))
        self._simulator.check(start)
        slot.task = start.task
        self._submit(slot, Reset(env=env, start=start))

    def step(self, env: int, actions: np.ndarray) -> None:
        """Take one step, (7,), or K of them, (K, 7): stops at the episode's end, then takes one frame."""
        slot = self._slot(env)
        self._refuse_unless(env, slot.status is _Status.READY)
        self._submit(slot, Step(env=env, actions=_checked(actions)))

    def poll(self, timeout_s: float) -> list[Event]:
        """What has become ready, waiting at most `timeout_s` for the first of it."""
        until_s = time.monotonic() + timeout_s
        while True:
            events = [event for number in range(len(self._workers)) for event in self._collect(number)]
            if events or time.monotonic() >= until_s:
                return events
            deadline_s = min([until_s, *(worker.deadline_s() for worker in self._alive())])
            wait([worker.connection for worker in self._alive()], max(0.0, deadline_s - time.monotonic()))

    def restart(self, env: int) -> None:
        """Make a failed environment usable again; returns at once, the next reset waits for the new
        process.
        """
        slot = self._slot(env)
        self._refuse_unless(env, slot.status is _Status.FAILED)
        if self._workers[slot.worker] is None:
            self._workers[slot.worker] = self._replacement(slot)
        slot.status = _Status.NEEDS_RESET

    def worker_pid(self, env: int) -> int | None:
        """The process that simulates this environment; None after it was lost."""
        worker = self._workers[self._slot(env).worker]
        return None if worker is None else worker.pid

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for worker in self._alive():
                worker.close()
            if self._spare is not None:
                self._spare.kill()
            self._frames.close()
            self._launcher.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self, number: int, *, spare_for: TaskId | None = None) -> WorkerProcess:
        return WorkerProcess(
            number,
            self._simulator,
            self._frames,
            limits=self._limits,
            launcher=self._launcher,
            spare_for=spare_for,
        )

    def _replacement(self, slot: _Slot) -> WorkerProcess:
        """The spare, if there is one and it is ready."""
        if self._spare is None:
            return self._launch(slot.worker)
        try:
            if not self._spare.is_prepared():
                return self._launch(slot.worker)
            replacement = self._spare
        except WorkerLostError:
            self._spare.kill()
            replacement = self._launch(slot.worker)
        self._spare = self._launch(slot.worker, spare_for=slot.task)
        return replacement

    def _alive(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None]

    def _slot(self, env: int) -> _Slot:
        if not 0 <= env < self.num_envs:
            raise ValueError(f"Environment {env}; allowed is 0 to {self.num_envs - 1}.")
        if self._closed:
            raise ValueError("This pool is closed.")
        return self._slots[env]

    def _refuse_unless(self, env: int, allowed: bool) -> None:
        if not allowed:
            raise ValueError(f"Environment {env} {self._slots[env].status.value}.")

    def _submit(self, slot: _Slot, request: Request) -> None:
        worker = self._workers[slot.worker]
        assert worker is not None
        slot.status = _Status.BUSY
        worker.submit(request)

    def _collect(self, number: int) -> list[Event]:
        """Events of one worker that are there now. Its loss is one only when it has said nothing more: what
        it said is to be heard before its environments are told to have failed.
        """
        events: list[Event] = []
        worker = self._workers[number]
        if worker is None:
            return events
        try:
            while (reply := worker.receive()) is not None:
                events.append(self._event(reply))
            worker.check_deadline()
        except WorkerLostError as loss:
            if not events:
                worker.kill()
                self._workers[number] = None
                events = self._lose(number, loss)
        return events

    def _event(self, reply: Reply) -> Event:
        slot = self._slots[reply.env]
        if isinstance(reply, Raised):
            return self._fail(reply.env, reply.kind, reply.reason)
        if self._has_spare and self._spare is None:  # not sooner: it would delay the workers' own start
            self._spare = self._launch(len(self._workers), spare_for=slot.task)
        slot.status = _Status.NEEDS_RESET if reply.terminated or reply.truncated else _Status.READY
        return EnvReady(
            env=reply.env,
            frame=self._frames.read(reply.env),
            reward=reply.reward,
            terminated=reply.terminated,
            truncated=reply.truncated,
            info=reply.info,
        )

    def _lose(self, number: int, loss: WorkerLostError) -> list[Event]:
        """All of a lost worker's environments fail, those without a request in flight as well."""
        lost = [env for env, slot in enumerate(self._slots) if slot.worker == number]
        return [
            self._fail(env, loss.kind, str(loss))
            for env in lost
            if self._slots[env].status is not _Status.FAILED
        ]

    def _fail(self, env: int, kind: FailureKind, reason: str) -> EnvFailed:
        self._slots[env].status = _Status.FAILED
        return EnvFailed(env=env, kind=kind, reason=reason)


def _checked(actions: np.ndarray) -> np.ndarray:
    """(K, 7) float64."""
    actions_K7 = np.atleast_2d(np.asarray(actions, dtype=np.float64))
    if actions_K7.ndim != 2 or actions_K7.shape[1] != ACTION_SIZE or not len(actions_K7):
        raise ValueError(f"Actions of shape {np.shape(actions)}; allowed are (7,) and (K, 7) with K > 0.")
    if not np.isfinite(actions_K7).all():
        raise ValueError("Actions with NaN or infinity; allowed are finite numbers.")
    return actions_K7
