"""Improve a policy by reinforcement learning.

  vlarl train experiments/tiny_cpu.yaml                      with the settings of a file
  vlarl train experiments/tiny_cpu.yaml learner.lr=1e-5      and one of them changed
  vlarl train experiments/tiny_cpu.yaml --or-resume          go on if it was begun before (for schedulers)
  vlarl train --resume runs/tiny_cpu                         go on where a run stopped

Exit codes: 0 the run is complete, 75 it was told to stop and can be resumed, 2 a setting is wrong.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.config import Config
    from core.runfolder import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, new or begun."""
    parser.add_argument(
        "settings", nargs="*", metavar="FILE.yaml | key=value", help="differences from the defaults"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", metavar="RUN", type=Path, help="continue the run in this folder")
    how.add_argument("--or-resume", action="store_true", help="continue the run if its folder exists")


def run(args: argparse.Namespace) -> int:
    config, folder, resume = _open(args)
    print(f"run folder: {folder.path}", flush=True)
    from cluster.results import table
    from cluster.supervision import STOPPED

    complete = train_in(folder, config, resume=resume)
    print(table(folder.path))
    return 0 if complete else STOPPED


def train_in(folder: "RunFolder", config: "Config", *, resume: bool) -> bool:
    """Whether the run came to its end. One that fails before anything happened leaves no folder behind."""
    from cluster.run import train

    with folder.held():
        try:
            return train(config, folder, resume=resume)
        except KeyboardInterrupt:
            print("interrupted; whatever a checkpoint holds is not lost", flush=True)
            return False
        finally:
            if not resume:
                folder.discard_if_unused()


def read_settings(settings: Sequence[str]) -> "Config":
    """The settings of a new run."""
    from core.settings import load, split

    files, words = split(settings)
    _refuse_files(files, 1, "one")
    config = load(Path(files[0]) if files else None, words)
    if not config.policy.checkpoint:
        raise ValueError(
            "policy.checkpoint is missing: a policy's folder (as `vlarl sft` writes) or hub name"
        )
    return config


def _open(args: argparse.Namespace) -> "tuple[Config, RunFolder, bool]":
    """Settings and folder of a run, and whether it is one that was begun before."""
    from core.runfolder import RunFolder
    from core.settings import split

    files, words = split(args.settings)
    if args.resume:
        _refuse_files(files, 0, "none with --resume (the run has its own)")
        folder = RunFolder.open(args.resume)
        return _changed(folder, words, None), folder, True
    config = read_settings(args.settings)
    if args.or_resume and RunFolder.of(config).config_file.is_file():
        folder = RunFolder.of(config)
        return _changed(folder, words, Path(files[0]) if files else None), folder, True
    return config, RunFolder.create(config), False


def _changed(folder: "RunFolder", words: list[str], file: Path | None) -> "Config":
    """The settings of a run that goes on; what differs from how it was begun is said."""
    from core.settings import changes

    config = folder.load_config(words, file)
    for change in changes(folder.load_config(), config):
        print(f"changed since the run was begun: {change}", flush=True)
    return config


def _refuse_files(files: list[str], most: int, allowed: str) -> None:
    if len(files) > most:
        raise ValueError(f"settings files: got {', '.join(files)}; allowed is {allowed}")
