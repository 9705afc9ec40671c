"""Run training on a Ray cluster: `ray job submit` with this directory as the workers' code.

  vlarl submit experiments/openvla7b_cluster.yaml run.name=first
  vlarl submit --address http://head:8265 --no-wait experiments/openvla7b_cluster.yaml

Everything after the options goes to `vlarl train` on the cluster, with run.mode=cluster. The runs directory
must be one that every machine sees. The cluster's token, if it asks for one, is taken from RAY_AUTH_TOKEN
or ~/.ray/auth_token.
"""

import argparse

HELP = "run training on a Ray cluster"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="of the cluster's dashboard; default: RAY_API_SERVER_ADDRESS")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as the job is accepted")
    parser.add_argument("settings", nargs=argparse.REMAINDER, metavar="FILE.yaml | key=value | --resume RUN")


def run(args: argparse.Namespace) -> int:
    import subprocess

    return subprocess.run(command(args.address, args.settings, wait=not args.no_wait), check=False).returncode


def command(address: str | None, settings: list[str], *, wait: bool = True) -> list[str]:
    """The `ray job submit` that this comes to."""
    import sys
    from pathlib import Path

    ray = Path(sys.executable).with_name("ray")
    options = ["--working-dir", "."]
    options += ["--address", address] if address else []
    options += [] if wait else ["--no-wait"]
    train = ["python", "-m", "cli.main", "train", *settings, "run.mode=cluster"]
    return [str(ray), "job", "submit", *options, "--", *train]
