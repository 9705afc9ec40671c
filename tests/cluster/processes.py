"""Runs as processes of their own: started, watched through their run folder, ended with everything they
started."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from core.metrics import read_lines

PATIENCE_S = 900


@contextmanager
def process(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command, ended with all its descendants."""
    import os

    with log.open("ab") as output:
        started = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        try:
            yield started
        finally:
            family = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
            for member in [*family, started]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            started.wait()


@contextmanager
def train(folder: Path, words: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`vlarl train`, its output in the folder's log.txt."""
    command = [sys.executable, "-m", "cli.main", "train", *words]
    with process(command, folder / "log.txt", **environment) as started:
        yield started


def updates(run: Path) -> list[dict[str, Any]]:
    return list(read_lines(run / "metrics.jsonl"))


def trained_slots(run: Path) -> list[int]:
    events = read_lines(run / "events.jsonl")
    return [slot for event in events if event["kind"] == "trained" for slot in event["slots"]]


def wait_for(condition: Callable[[], bool], started: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert started.poll() is None, f"the process ended before {what}"
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.2)


def descendant(started: subprocess.Popen[bytes], words: str) -> psutil.Process:
    """The first process below this one whose command line holds these words."""
    for member in psutil.Process(started.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if words in " ".join(member.cmdline()):
                return member
    raise AssertionError(f"no process {words!r}")
