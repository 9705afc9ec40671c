"""Measure a policy: greedy episodes from LIBERO's published initial states, with intervals, JSON and videos.

  vlarl eval checkpoints/tiny --suite libero_spatial --episodes 50
  vlarl eval checkpoints/tiny --suite libero_spatial --tasks 0 3 --episodes 10 --videos 4 --out results/tiny
  vlarl eval checkpoints/tiny --suite libero_spatial --shift camera     what training never saw
  vlarl eval checkpoints/tiny --adapter runs/tiny/checkpoints/last/adapter --suite libero_spatial

A published checkpoint is evaluated by its hub name, with `--render exact --assets libero --dtype bfloat16`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import Config, EnvConfig, PolicyConfig, RenderMode, RunConfig, Shift

if TYPE_CHECKING:
    from actors.eval_report import EvalReport
    from core.types import EpisodeOutcome, Start
    from policy.engine import Engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="policy folder or hub name")
    parser.add_argument(
        "--adapter", type=Path, help="LoRA folder to serve on top of it, as a run's checkpoints have"
    )
    parser.add_argument(
        "--suite",
        nargs="+",
        default=["libero_spatial"],
        help="one or more of libero_spatial, libero_object, libero_goal, libero_10, libero_90",
    )
    parser.add_argument("--tasks", type=int, nargs="+", help="task numbers; all of each suite without")
    parser.add_argument(
        "--episodes", type=int, default=50, help="initial states per task, the first of the 50"
    )
    parser.add_argument(
        "--sample", type=float, metavar="TEMPERATURE", help="sample instead of deciding greedily"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling")
    parser.add_argument(
        "--shift",
        choices=[shift.value for shift in Shift],
        default=Shift.NONE.value,
        help="move the camera, dim the light, move arm and objects, or say it in other words",
    )
    parser.add_argument("--videos", type=int, default=0, help="episodes to record, spread over all")
    parser.add_argument("--out", type=Path, help="folder for results.json and recorded episodes")
    parser.add_argument("--assets", default="auto", help="auto, primitive, libero, or a folder")
    parser.add_argument(
        "--render",
        choices=[mode.value for mode in RenderMode],
        default=RenderMode.FAST.value,
        help="exact: pixel for pixel as LIBERO, which published checkpoints need",
    )
    parser.add_argument(
        "--envs", type=int, default=16, help="environments at a time; 1 repeats to the last bit"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes they are spread over")
    parser.add_argument("--dtype", default="float32", help="of the weights: float32 or bfloat16")
    parser.add_argument("--tensor-parallel", type=int, default=1, help="GPUs that share one model")


def run(args: argparse.Namespace) -> int:
    from envs.assets import resolve_assets

    if args.sample is not None and args.sample <= 0:
        raise ValueError(f"--sample {args.sample:g}: a temperature is above 0; without --sample it is greedy")
    if args.videos and args.out is None:
        raise ValueError("--videos needs --out, the folder to write them to")
    starts = {suite: _starts(args, suite) for suite in args.suite}
    resolve_assets(args.assets)  # a wrong one is refused now, not after the engine's start
    began = time.monotonic()
    engine = _start_engine(args)
    reports = {suite: _evaluate(args, engine, suite, starts[suite]) for suite in args.suite}
    engine.close()
    for report in reports.values():
        print(report.table())
    if args.out is not None:
        _write(args, reports, time.monotonic() - began)
    return 0


def _starts(args: argparse.Namespace, suite: str) -> list["Start"]:
    from core.types import TaskId
    from envs.suites import published_starts, suite_tasks, task

    chosen = [task(TaskId(suite=suite, index=index)) for index in args.tasks or ()]
    return published_starts(chosen or suite_tasks(suite), args.episodes)


def _start_engine(args: argparse.Namespace) -> "Engine":
    from core.config import EngineConfig
    from policy.adapter import read_adapter
    from policy.engine import Engine

    config = EngineConfig(dtype=args.dtype, max_num_seqs=args.envs, tensor_parallel_size=args.tensor_parallel)
    temperature = 1.0 if args.sample is None else args.sample
    engine = Engine(args.checkpoint, config, temperature=temperature, seed=args.seed)
    if args.adapter is not None:
        engine.update(read_adapter(args.adapter))
    return engine


def _evaluate(args: argparse.Namespace, engine: "Engine", suite: str, starts: list["Start"]) -> "EvalReport":
    from actors.engine_policy import EnginePolicy
    from actors.environments import make_loop
    from actors.eval_report import EvalReport
    from actors.evaluator import evaluate

    loop = make_loop(
        _config(args, suite, min(args.envs, len(starts))),
        EnginePolicy(engine),
        (args.out or Path()) / "episodes",
        shift=Shift(args.shift),
    )
    try:
        outcomes = evaluate(
            loop,
            starts,
            greedy=args.sample is None,
            num_recorded=args.videos,
            on_outcome=_print_outcome,
        )
    finally:
        loop.close()
    return EvalReport(outcomes=outcomes)


def _config(args: argparse.Namespace, suite: str, num_envs: int) -> Config:
    return Config(
        run=RunConfig(seed=args.seed),
        env=EnvConfig(
            suite=suite,
            assets=args.assets,
            render=RenderMode(args.render),
            envs_per_actor=num_envs,
            workers_per_actor=min(args.workers, num_envs),
        ),
        policy=PolicyConfig(checkpoint=args.checkpoint),
    )


def _print_outcome(outcome: "EpisodeOutcome", num_left: int) -> None:
    result = "success" if outcome.success else "failure"
    print(f"{outcome.start}: {result} after {outcome.num_steps} steps, {num_left} left", flush=True)


def _write(args: argparse.Namespace, reports: dict[str, "EvalReport"], seconds: float) -> None:
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    results = {
        "settings": {
            name: str(value) if isinstance(value, Path) else value for name, value in settings.items()
        },
        "seconds": round(seconds, 1),
        "suites": {name: report.to_json() for name, report in reports.items()},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"written: {args.out / 'results.json'}")
