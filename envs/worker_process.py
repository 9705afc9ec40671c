"""A worker process as the pool sees it: launched, spoken to over a pipe, watched against deadlines, ended.

In: resets and steps, at most one in flight per environment. Out: their replies, or `WorkerLostError` when
the process died or hangs.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from core.types import TaskId
from envs.messages import FailureKind, Prepared, Reply, Request, Reset
from envs.shared_frames import SharedFrames
from envs.simulator import Simulator

CLOSE_TIMEOUT_S = 2.0
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class WorkerLostError(RuntimeError):
    """The process is of no more use: its environments have failed."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a request may go unanswered before its worker counts as hung."""

    step_s: float
    """Since the worker's last answer to anything."""
    reset_s: float
    """Since it was sent; may include starting the process, building the task, and other resets before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    request: Request
    time_s: float


class WorkerProcess:
    def __init__(
        self,
        number: int,
        simulator: Simulator,
        frames: SharedFrames,
        *,
        limits: Limits,
        launcher: Executor,
        spare_for: TaskId | None,
    ) -> None:
        """`launcher` is a thread that outlives the worker: the kernel ends a worker with the thread that
        started it. With `spare_for` it builds that task as well, all without haste.
        """
        self._is_prepared = False
        ours, theirs = socket.socketpair()
        self._process = launcher.submit(_launch, theirs.fileno(), frames.fd).result()
        theirs.close()
        self.connection = Connection(ours.detach())
        self._limits = limits
        self._in_flight: dict[int, _Sent] = {}
        self._last_reply_s = time.monotonic()
        self._send((simulator, number, spare_for, frames.num_slots, frames.shape))

    @property
    def pid(self) -> int:
        return self._process.pid

    def submit(self, request: Request) -> None:
        self._in_flight[request.env] = _Sent(request=request, time_s=time.monotonic())
        self._send(request)

    def receive(self) -> Reply | None:
        """The next reply that has arrived, if any; raises `WorkerLostError` at the end of the pipe."""
        reply = self._next_message()
        if isinstance(reply, Prepared):
            self._is_prepared = True
            reply = self._next_message()
        if reply is None:
            return None
        assert not isinstance(reply, Prepared)
        del self._in_flight[reply.env]
        self._last_reply_s = time.monotonic()
        return reply

    def is_prepared(self) -> bool:
        """Whether it would answer a first request without delay; raises `WorkerLostError` if it has ended."""
        assert not self._in_flight
        self.receive()
        return self._is_prepared

    def deadline_s(self) -> float:
        """`time.monotonic()` at which this worker counts as hung."""
        return min(map(self._deadline_of, self._in_flight.values()), default=float("inf"))

    def check_deadline(self) -> None:
        now_s = time.monotonic()
        late = [sent for sent in self._in_flight.values() if self._deadline_of(sent) <= now_s]
        if late:
            age_s = now_s - late[0].time_s
            reason = f"Worker {self.pid} hangs: no answer to {late[0].request} after {age_s:.1f} s."
            raise WorkerLostError(FailureKind.HUNG, reason)

    def kill(self) -> None:
        """End the process for certain: from here on nobody writes its environments' frames."""
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def close(self) -> None:
        """Ask the process to leave, by closing the pipe; then insist."""
        self.connection.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _next_message(self) -> Reply | Prepared | None:
        try:
            if not self.connection.poll():
                return None
            message: Reply | Prepared = self.connection.recv()
        except (EOFError, ConnectionError):
            raise WorkerLostError(FailureKind.DIED, f"Worker {self.pid} {self._exit_reason()}.") from None
        return message

    def _deadline_of(self, sent: _Sent) -> float:
        if isinstance(sent.request, Reset):
            return sent.time_s + self._limits.reset_s
        return max(sent.time_s, self._last_reply_s) + self._limits.step_s

    def _send(self, message: object) -> None:
        with contextlib.suppress(
            ConnectionError
        ):  # the process is gone: the next `receive` finds the pipe's end
            self.connection.send(message)

    def _exit_reason(self) -> str:
        code = self._process.wait()
        if code == 0:  # it never ends so: within Ray, which takes the codes of all children, how is not known
            return "is gone"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"


def _launch(connection_fd: int, frames_fd: int) -> subprocess.Popen[bytes]:
    """A fresh interpreter: no fork of threads, GL or CUDA, and no import of the owner's main module, which
    may be Ray's. It draws on any GPU, by EGL's count; robosuite would insist on one that CUDA is to see.
    """
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "envs.worker", str(connection_fd), str(frames_fd), str(os.getpid())],
        env=os.environ | ONE_THREAD | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.DEVNULL,
        pass_fds=(connection_fd, frames_fd),
    )
