"""Improve a policy by reinforcement learning.

  vlarl train experiments/tiny_cpu.yaml                      with the settings of a file
  vlarl train experiments/tiny_cpu.yaml learner.lr=1e-5      and one of them changed
  vlarl train --resume runs/tiny                             go on where a run stopped

Exit codes: 0 the run is complete, 75 it was told to stop and can be resumed, 2 a setting is wrong.
"""

import argparse
from pathlib import Path

HELP = "improve a policy by reinforcement learning"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings", nargs="*", metavar="FILE.yaml | key=value", help="differences from the defaults"
    )
    parser.add_argument("--resume", metavar="RUN", type=Path, help="continue the run in this folder")


def run(args: argparse.Namespace) -> int:
    from core import settings
    from core.runfolder import RunFolder

    files = [word for word in args.settings if word.endswith((".yaml", ".yml")) and "=" not in word]
    words = [word for word in args.settings if word not in files]
    if len(files) > (0 if args.resume else 1):
        allowed = "none with --resume (the run has its own)" if args.resume else "one"
        raise ValueError(f"settings files: got {', '.join(files)}; allowed is {allowed}")
    if args.resume:
        folder = RunFolder.open(args.resume)
        config = folder.load_config(words)
    else:
        config = settings.load(Path(files[0]) if files else None, words)
        if not config.policy.checkpoint:
            raise ValueError(
                "policy.checkpoint is missing: a policy's folder (as `vlarl sft` writes) or hub name"
            )
        folder = RunFolder.create(config)
    print(f"run folder: {folder.path}", flush=True)
    from cluster.results import table
    from cluster.run import train
    from cluster.supervision import STOPPED

    complete = train(config, folder, resume=args.resume is not None)
    print(table(folder.path))
    return 0 if complete else STOPPED
