"""A training job for a Ray cluster: the `ray job` commands that `vlarl submit` runs.

In: an address and the words of `vlarl train`. Out: command lines. The working directory travels without
what a run does not need; secrets never do: Ray takes its token from the environment or from
~/.ray/auth_token on both sides.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

CHECKPOINT_PATIENCE_S = 900
"""Between SIGTERM and SIGKILL when a job is stopped; Ray's own 3 s are too few for a checkpoint."""
EXCLUDES = ("/.git", "/.ci", "/tests", "/docs", "/site", "*.egg-info", "*.mp4", "*.log", ".env")
"""Besides everything in .gitignore, which Ray leaves out by itself."""


def runtime_env() -> dict[str, object]:
    """What the workers get: this folder's code, and time to write a checkpoint."""
    return {
        "working_dir": ".",
        "excludes": list(EXCLUDES),
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(CHECKPOINT_PATIENCE_S)},
    }


def submit_command(address: str | None, words: Sequence[str], *, wait: bool = True) -> list[str]:
    """The `ray job submit` of one run, given what `vlarl train` is to be told."""
    options = ["--runtime-env-json", json.dumps(runtime_env())]
    options += [] if wait else ["--no-wait"]
    train = ["python", "-m", "cli.main", "train", *words]
    return [*_ray_job("submit", address), *options, "--", *train]


def stop_command(address: str | None, job: str) -> list[str]:
    """SIGTERM to the run's driver, which writes a checkpoint; returns when it is gone."""
    return [*_ray_job("stop", address), job]


def logs_command(address: str | None, job: str) -> list[str]:
    """What the run prints, from its beginning, until it ends."""
    return [*_ray_job("logs", address), "--follow", job]


def check_folder(folder: Path) -> None:
    """The workers' code is the folder that the command is given in."""
    if not (folder / "cli" / "main.py").is_file():
        raise ValueError(f"{folder} is not the project's folder (it has no cli/main.py): change to it first")


def _ray_job(action: str, address: str | None) -> list[str]:
    ray = str(Path(sys.executable).with_name("ray"))
    return [ray, "job", action, *(["--address", address] if address else [])]
