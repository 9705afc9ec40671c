"""One worker process, `python -m envs.worker`, started by a pool: simulates its share of the environments.

In: a `Simulator` and then requests, over the inherited pipe. Out: replies over the same pipe, frames in
shared memory. `Prepared` is the first of them; until then a spare uses hardly any CPU that others want.

Three threads. The first simulates and draws (OpenGL stays in it), one request after the other. The second
listens to the pipe and ends the process when the owner closes it. The third builds a task's simulation when
a reset needs one, which takes up to seconds: steps of other environments go on meanwhile, and resets wait,
because building and resetting both draw from NumPy's global generator.
"""

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import numpy as np

from core.types import TaskId
from envs.messages import Done, FailureKind, Prepared, Raised, Reply, Request, Reset, Step
from envs.orphans import die_with
from envs.shared_frames import SharedFrames
from envs.simulator import Environment, NotFiniteError, Simulator

THREAD_SWITCH_S = 0.0005
"""MuJoCo gives up the interpreter lock at every call; the default of 5 ms would make a step wait that long
each time.
"""

LOW_PRIORITY = 10
"""A tenth of what an ordinary thread beside it gets."""

StepResult = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Builder to the simulating thread: the task of the first waiting reset is there, or cannot be built."""

    error: Exception | None


class Worker:
    """Answers requests until the process is ended."""

    def __init__(self, connection: Connection, simulator: Simulator, frames: SharedFrames) -> None:
        self._connection = connection
        self._simulator = simulator
        self._frames = frames
        self._envs: dict[int, Environment] = {}
        self._inbox: SimpleQueue[Request | Built] = SimpleQueue()
        self._waiting: deque[Reset] = deque()
        self._builder = ThreadPoolExecutor(1)

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            match self._inbox.get():
                case Step() as step:
                    self._answer(step)
                case Reset() as reset:
                    self._waiting.append(reset)
                    if len(self._waiting) == 1:
                        self._build_for(reset)
                case Built(error=error):
                    self._answer(self._waiting.popleft(), error)
                    if self._waiting:
                        self._build_for(self._waiting[0])

    def _listen(self) -> None:
        try:
            while True:
                self._inbox.put(self._connection.recv())
        except (EOFError, ConnectionError):
            os._exit(0)  # the owner closed the pool; whatever the other threads are doing is of no use

    def _build_for(self, reset: Reset) -> None:
        self._builder.submit(self._build, reset.start.task)

    def _build(self, task: TaskId) -> None:
        try:
            self._simulator.build(task)
        except Exception as error:
            self._inbox.put(Built(error=error))
        else:
            self._inbox.put(Built(error=None))

    def _answer(self, request: Request, build_error: Exception | None = None) -> None:
        """Fault-tolerance point: whatever breaks one environment is reported, and the worker's others go
        on.
        """
        reply: Reply
        try:
            if build_error is not None:
                raise build_error
            reply = self._perform(request)
        except Exception as error:
            self._discard(request.env)
            kind = FailureKind.NOT_FINITE if isinstance(error, NotFiniteError) else FailureKind.RAISED
            reply = Raised(env=request.env, kind=kind, reason="".join(traceback.format_exception(error)))
        self._connection.send(reply)

    def _perform(self, request: Request) -> Done:
        if request.env not in self._envs:
            assert isinstance(request, Reset)
            self._envs[request.env] = self._simulator.make(request.start.task)
        env = self._envs[request.env]
        observation, reward, terminated, truncated, info = _advance(env, request)
        if not np.isfinite(env.state()).all():
            raise NotFiniteError("The simulated state is not finite.")
        self._frames.write(request.env, observation["frame"])
        return Done(env=request.env, reward=reward, terminated=terminated, truncated=truncated, info=info)

    def _discard(self, index: int) -> None:
        env = self._envs.pop(index, None)
        if env is not None:
            with contextlib.suppress(Exception):  # it is broken already; the next reset makes a new one
                env.close()


def _advance(env: Environment, request: Request) -> StepResult:
    if isinstance(request, Step):
        return env.step(request.actions)
    observation, info = env.reset(request.start)
    return observation, 0.0, False, False, info


def _prepare_spare(simulator: Simulator, number: int, task: TaskId) -> None:
    simulator.prepare(number)
    simulator.build(task)


def _in_the_background(act: Callable[[], None]) -> None:
    """In a thread of its own, because a thread that has given up its priority cannot have it back."""

    def act_without_haste() -> None:
        thread = threading.get_native_id()
        priority = max(LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, thread))
        os.setpriority(os.PRIO_PROCESS, thread, priority)
        act()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(act_without_haste).result()


def main(connection_fd: int, frames_fd: int, owner_pid: int) -> None:
    die_with(owner_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the owner, which closes the pipe
    sys.setswitchinterval(THREAD_SWITCH_S)
    connection = Connection(connection_fd)
    simulator, number, spare_for, num_slots, shape = connection.recv()
    if spare_for is None:
        simulator.prepare(number)
    else:
        _in_the_background(partial(_prepare_spare, simulator, number, spare_for))
    with contextlib.suppress(ConnectionError):  # the owner has closed the pool already
        connection.send(Prepared())
    Worker(connection, simulator, SharedFrames(num_slots, shape, frames_fd)).serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
