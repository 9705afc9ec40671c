"""A training run as a drill sees it: a process with descendants, a run folder that says what happens, ways to
break parts of it.

In: words of `vlarl train`. Out: what the run folder says, processes by kind, and what the run left behind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from cluster.ray_settings import LOCAL
from core.metrics import read_lines
from drills import orders
from drills.record import Event, Record

KINDS = {
    "environment": "envs.worker",
    "env_actor": "ray::EnvActor",
    "replica": "ray::InferenceActor",
    "learner": "ray::LearnerActor",
    "reward": "ray::RewardActor",
}
SECRETS = {"RAY_AUTH_TOKEN": "drill-secret-0123456789abcdef0123456789", "HF_TOKEN": "hf_drill-secret-token"}
"""Given to the run as its environment; neither its folder nor its output may show them."""
RAY_ITSELF = ("gcs_server", "raylet")
POLL_S = 0.1
PATIENCE_S = 900.0
LAST_BYTES = 2**16
SHARED_MEMORY = "/dev/shm/"


class System:
    """One `vlarl train`, ended with everything it started when the block ends."""

    def __init__(self, folder: Path, words: list[str], run: Path) -> None:
        self.run, self.log = run, folder / f"{run.name}.txt"
        self._words = words
        self._record = Record(run)
        self._orders = Path(tempfile.mkdtemp(prefix="orders-", dir=folder))
        self._family: dict[int, psutil.Process] = {}
        self._shared_memory: set[str] = set()
        self.ordered_s = 0.0
        """When the last order was read."""
        self.open_ports: set[tuple[str, int]] = set()
        """Every address and port that a process of the run listened on when looked at."""
        self.without_token: set[str] = set()
        """Ray's own processes that anybody may talk to."""

    def __enter__(self) -> Self:
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (f"{root}/drills/sabotage", root, os.environ.get("PYTHONPATH"))))
        inherited = {name: value for name, value in os.environ.items() if name not in LOCAL}
        environment = {**inherited, **SECRETS, "PYTHONPATH": path, orders.VARIABLE: str(self._orders)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "train", *self._words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=root,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look_around()
        for member in [*self._family.values(), self.process]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait()

    @property
    def events(self) -> list[Event]:
        return self._record.events()

    @property
    def updates(self) -> list[dict[str, Any]]:
        return list(read_lines(self.run / "metrics.jsonl"))

    @property
    def last_updates(self) -> list[dict[str, Any]]:
        """The newest few, at little cost."""
        content = (self.run / "metrics.jsonl").read_bytes()
        *lines, _ = content[-LAST_BYTES:].split(b"\n")
        return [json.loads(line) for line in lines[len(content) > LAST_BYTES :]]

    def watch(self, seconds: float) -> None:
        """See for so long what happens, when it happens."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._record.events()
            time.sleep(POLL_S)

    def wait_for(self, condition: Callable[[], bool], what: str, limit_s: float = PATIENCE_S) -> float:
        """Seconds until it holds; fails with the end of the log if the run ends or the time does."""
        began = time.monotonic()
        while not condition():
            if self.process.poll() is not None:
                raise DrillError(f"the run ended before {what}: {self.last_words()}")
            if time.monotonic() - began > limit_s:
                raise DrillError(f"{what} did not happen within {limit_s:.0f} s")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def pids(self, kind: str) -> list[int]:
        """Living processes of one kind, the one that has worked most first: a spare has hardly worked."""
        found = []
        for member in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if KINDS[kind] in " ".join(member.cmdline()) and member.status() != psutil.STATUS_ZOMBIE:
                    found.append((member.cpu_times().user, member.pid))
        return [pid for _, pid in sorted(found, reverse=True)]

    def signal(self, kind: str, number: signal.Signals) -> int:
        """To a process of a kind, the run itself included; returns its id."""
        pid = self.process.pid if kind == "driver" else self.pids(kind)[0]
        os.kill(pid, number)
        return pid

    def order(self, kind: str, name: str, **arguments: Any) -> None:
        """Let a process of a kind make a fault in itself; returns when it has read the order."""
        pid = self.process.pid if kind == "driver" else self.pids(kind)[0]
        orders.give(self._orders, pid, name, **arguments)
        self.wait_for(lambda: orders.is_taken(self._orders, pid), f"order {name} was read", 60.0)
        self.ordered_s = time.monotonic()

    def look_around(self) -> None:
        """Remember every process, shared memory and port of the run."""
        with suppress(psutil.NoSuchProcess):
            driver = psutil.Process(self.process.pid)
            for member in [driver, *driver.children(recursive=True)]:
                self._family.setdefault(member.pid, member)
        for member in list(self._family.values()):
            with suppress(psutil.Error):
                if member.name() in RAY_ITSELF and member.environ().get("RAY_AUTH_MODE") != "token":
                    self.without_token.add(member.name())
                self._shared_memory |= {
                    part.path for part in member.memory_maps() if part.path.startswith(SHARED_MEMORY)
                }
                self.open_ports |= {
                    (connection.laddr.ip, connection.laddr.port)
                    for connection in member.net_connections("inet")
                    if connection.status == psutil.CONN_LISTEN
                }

    def left_behind(self, within_s: float) -> list[str]:
        """Processes, shared memory and ports that are still there some time after the end."""
        deadline = time.monotonic() + within_s
        while (left := self._remains()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left

    def last_words(self) -> str:
        return self.log.read_text()[-600:]

    def secrets_shown(self) -> list[str]:
        """Files of the run, and its output, that show a secret."""
        files = [self.log, *(file for file in self.run.rglob("*") if file.is_file())]
        secrets = [secret.encode() for secret in SECRETS.values()]
        return [str(file) for file in files if any(secret in file.read_bytes() for secret in secrets)]

    def _remains(self) -> list[str]:
        processes = [
            m for m in self._family.values() if m.is_running() and m.status() != psutil.STATUS_ZOMBIE
        ]
        memory = [path for path in self._shared_memory if Path(path).exists()]
        return [*map(_describe, processes), *memory]


def _describe(member: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return f"process {member.pid} ({' '.join(member.cmdline())[:80]})"
    return f"process {member.pid}"


class DrillError(AssertionError):
    """Something that must hold in a drill did not."""
