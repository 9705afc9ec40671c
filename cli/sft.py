"""Imitate demonstrations: train a tiny policy on files in LIBERO's layout.

  vlarl sft demos/libero_spatial --out checkpoints/tiny --preset tiny --minutes 60
  vlarl sft demos/libero_spatial --out checkpoints/more --start demo/policy --minutes 10

Interrupted, the same command goes on where it stopped. In the end the policy plays published initial states.
It runs on the CPU: fine-tune a 7B policy with OpenVLA's own tools, and bring the folder (docs/recipes.md).
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policy.sft import Progress, SftOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("demos", type=Path, help="HDF5 file, or a folder of them (one suite)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained policy")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", default="tiny", help="start from a tiny policy with random weights")
    start.add_argument("--start", help="start from this policy folder or hub name")
    parser.add_argument(
        "--name", help="key of the action statistics; the demonstrations' folder name without"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="CPU-minutes to train")
    parser.add_argument("--batch-size", type=int, default=32, help="examples of a step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak; 5e-4 suits LoRA on a large model")
    parser.add_argument("--lora-rank", type=int, default=0, help="0 trains every weight")
    parser.add_argument("--seed", type=int, default=0, help="of weights and examples")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; tiny models gain nothing from more"
    )
    parser.add_argument(
        "--eval-episodes", type=int, default=10, help="published states per task to play in the end; 0 = none"
    )


def run(args: argparse.Namespace) -> int:
    import torch

    from policy.sft import SftOptions, train

    torch.set_num_threads(args.threads)
    files = _files(args.demos)
    name = args.name or (args.demos if args.demos.is_dir() else args.demos.parent).name
    options = SftOptions(
        minutes=args.minutes,
        batch_size=args.batch_size,
        lr=args.lr,
        lora_rank=args.lora_rank,
        seed=args.seed,
    )
    train(_start(args), files, args.out, name, options, _Line(options))
    return _evaluate(args.out, name, args.eval_episodes) if args.eval_episodes else 0


def _files(demos: Path) -> list[Path]:
    files = sorted(demos.rglob("*.hdf5")) if demos.is_dir() else [demos]
    if not files:
        raise ValueError(f"there is no .hdf5 file below {demos}; `vlarl demos record` makes some")
    return files


def _start(args: argparse.Namespace) -> Path:
    """The folder to start from; a preset's random weights are kept beside the result, for a resumed run."""
    from policy.presets import make_tiny
    from policy.processing import resolve_folder

    if args.start:
        return resolve_folder(args.start)
    folder: Path = args.out / "start"
    if not (folder / "config.json").is_file():
        make_tiny(folder, args.preset, seed=args.seed)
    return folder


class _Line:
    """The live progress line, rewritten in place on a terminal."""

    def __init__(self, options: "SftOptions") -> None:
        self._options, self._started = options, time.monotonic()

    def __call__(self, progress: "Progress") -> None:
        text = (
            f"step {progress.step}  {progress.minutes:.1f}/{self._options.minutes:g} CPU-min  "
            f"{progress.examples_per_s:.0f} examples/CPU-s  loss {progress.loss:.3f}  "
            f"held out: first step off {progress.first_error:.3f}, gripper wrong {progress.grip_errors:.1%}  "
            f"({time.monotonic() - self._started:.0f} s)"
        )
        print(text, end="\r" if sys.stdout.isatty() else "\n", flush=True)


def _evaluate(policy: Path, suite: str, episodes: int) -> int:
    from envs.suites import SUITES

    if suite not in SUITES:
        print(f"no evaluation: {suite!r} is no suite of LIBERO; `vlarl eval {policy} --suite ...` plays any")
        return 0
    from cli import eval as evaluation

    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    return evaluation.run(
        parser.parse_args(
            [str(policy), "--suite", suite, "--episodes", str(episodes), "--out", str(policy / "eval")]
        )
    )
