"""Run training on a Ray cluster: `ray job submit` with this directory as the workers' code.

  vlarl submit experiments/openvla7b_cluster.yaml run.runs_dir=/runs run.name=first   and follow it
  vlarl submit --dry-run experiments/openvla7b_cluster.yaml run.runs_dir=/runs        show what would be run
  vlarl submit --no-wait experiments/openvla7b_cluster.yaml run.runs_dir=/runs        print its name, return
  vlarl submit --logs JOB                                             follow a job again
  vlarl submit --stop JOB                                             checkpoint, then end
  vlarl submit --resume /runs/first                                   go on where a run stopped

Settings, --resume and --or-resume go to `vlarl train` on the cluster, with run.mode=cluster.
run.runs_dir must be a folder that every machine sees. What git does not know stays here: a policy of your own
must lie in such a folder, too. The cluster's token is taken from RAY_AUTH_TOKEN or ~/.ray/auth_token; a
cluster on the network that asks for none is refused.

Exit codes: those of `ray job`, 2 a setting is wrong.
"""

import argparse
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cli.train import add_run_arguments, read_settings

if TYPE_CHECKING:
    from core.config import Config

MODE = "run.mode=cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="of the cluster's dashboard; default: RAY_API_SERVER_ADDRESS")
    parser.add_argument("--dry-run", action="store_true", help="check the settings and show the command")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as the job is accepted")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--stop", metavar="JOB", help="let a job write a checkpoint and end")
    action.add_argument("--logs", metavar="JOB", help="follow what a job prints")
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from cluster.security import refuse_open_dashboard

    command = _command(args)
    if args.dry_run:
        _show(command)
        return 0
    address = args.address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS")
    if address:
        refuse_open_dashboard(address)
    # Its token travels only with token auth switched on explicitly.
    environment = {"RAY_AUTH_MODE": "token", **os.environ}
    return subprocess.run(command, env=environment, check=False).returncode


def _command(args: argparse.Namespace) -> list[str]:
    from cluster import submission

    words = [*args.settings, *_options(args)]
    if job := args.stop or args.logs:
        if words:
            raise ValueError(f"--stop and --logs take a job's name only, got also {' '.join(words)}")
        make = submission.stop_command if args.stop else submission.logs_command
        return make(args.address, job)
    submission.check_folder(Path.cwd())
    if not args.resume:  # which has its own settings, over there
        _check(read_settings([*args.settings, MODE]))  # found here, not minutes later there
    return submission.submit_command(args.address, [*words, MODE], wait=not args.no_wait)


def _check(config: "Config") -> None:
    """Folders that would be the job's alone, or would not travel with it."""
    if not Path(config.run.runs_dir).is_absolute():
        raise ValueError(
            f"run.runs_dir={config.run.runs_dir} would be a folder in the job's own copy of this one, and "
            "end with it: give one that every machine sees, such as run.runs_dir=/runs"
        )
    used = {"policy.checkpoint": config.policy.checkpoint, "reward.checkpoint": config.reward.checkpoint}
    for name, folder in used.items():
        if Path(folder).is_dir() and not Path(folder).is_absolute() and _ignored(folder):
            raise ValueError(
                f"{name}={folder} stays here, for git ignores it: copy it to a folder that every machine "
                "sees, and give that"
            )


def _ignored(folder: str) -> bool:
    """Whether git leaves it out, as Ray then does."""
    return subprocess.run(["git", "check-ignore", "-q", folder], check=False).returncode == 0


def _options(args: argparse.Namespace) -> list[str]:
    """What `vlarl train` is told besides settings."""
    if args.resume:
        return ["--resume", str(args.resume)]
    return ["--or-resume"] if args.or_resume else []


def _show(command: list[str]) -> None:
    import shlex

    print(shlex.join(command))
