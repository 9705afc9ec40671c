"""Record the scripted expert's demonstrations as LIBERO's datasets; check, describe and film what is
recorded.

  vlarl demos record --suite libero_spatial --episodes 50 --noise 0.5 --out demos
  vlarl demos check demos/libero_spatial/*.hdf5
  vlarl demos info demos/libero_spatial/*.hdf5
  vlarl demos video demos/libero_spatial/<task>_demo.hdf5 --episode 3 --out episode.mp4

Recording writes one file per task, <out>/<suite>/<task>_demo.hdf5, and skips files that are there already,
so an interrupted recording is continued by the same command. Start numbers are seeds: the same command, the
same files. With noise, `actions` are disturbed as executed and `clean_actions` are what to imitate.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envs.demo_recording import Recording
    from envs.demos import Demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", required=True, metavar="record | check | info | video")
    _add_record(commands.add_parser("record", help="let the expert do tasks and keep what it did"))
    check = commands.add_parser("check", help="execute recorded actions again and compare")
    check.add_argument("files", type=Path, nargs="+", help="HDF5 files")
    check.add_argument("--episodes", type=int, help="only the first so many of each file")
    check.add_argument("--assets", help="primitive, libero or a folder; without, what it was recorded with")
    info = commands.add_parser("info", help="say what files hold")
    info.add_argument("files", type=Path, nargs="+", help="HDF5 files")
    video = commands.add_parser("video", help="one episode as MP4")
    video.add_argument("file", type=Path, help="HDF5 file")
    video.add_argument("--episode", type=int, default=0, help="its number in the file")
    video.add_argument("--out", type=Path, required=True, help="the MP4 to write")


def _add_record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--suite",
        default="libero_spatial",
        help="libero_spatial, libero_object, libero_goal, libero_10 or libero_90",
    )
    parser.add_argument("--tasks", type=int, nargs="+", help="task numbers; all of the suite without")
    parser.add_argument("--episodes", type=int, default=50, help="per task")
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        help="largest standard deviation of the noise on executed translations (1 = 5 cm a step); "
        "each episode draws its own from 0 to this",
    )
    parser.add_argument("--size", type=int, default=128, help="pixels of the square picture, one every step")
    parser.add_argument("--assets", default="auto", help="auto, primitive, libero, or a folder")
    parser.add_argument("--source", choices=["fresh", "published"], default="fresh", help="of initial states")
    parser.add_argument("--first", type=int, default=0, help="number (seed) of the first start of each task")
    parser.add_argument(
        "--keep-failures", action="store_true", help="store unsolved episodes, too, and count them"
    )
    parser.add_argument("--out", type=Path, default=Path("demos"), help="folder for the files")
    parser.add_argument("--processes", type=int, default=2, help="that record side by side")


def run(args: argparse.Namespace) -> int:
    return {"record": _record, "check": _check, "info": _info, "video": _video}[args.command](args)


def _record(args: argparse.Namespace) -> int:
    from envs.demo_recording import record, worker_pool

    recordings = _recordings(args)
    with worker_pool(args.processes) as pool:
        for recording in recordings:
            demos: list[Demo] = []
            path, is_new = record(recording, args.out, pool, demos.append)
            print(f"{path}: {_summary(demos) if is_new else 'is there already'}", flush=True)
    return 0


def _recordings(args: argparse.Namespace) -> "list[Recording]":
    from envs.demo_recording import Recording
    from envs.suites import suite_tasks

    tasks = range(len(suite_tasks(args.suite))) if args.tasks is None else args.tasks
    assets = (os.environ.get("LIBERO_ASSETS") or "primitive") if args.assets == "auto" else args.assets
    return [
        Recording(
            suite=args.suite,
            task=index,
            assets=assets,
            episodes=args.episodes,
            noise=args.noise,
            size=args.size,
            source=args.source,
            first=args.first,
            keep_failures=args.keep_failures,
        )
        for index in tasks
    ]


def _check(args: argparse.Namespace) -> int:
    from envs.assets import resolve_assets
    from envs.demo_recording import REPLAY_TOLERANCE, replay
    from envs.demos import DemoFile

    num_wrong = 0
    for path in args.files:
        with DemoFile(path) as demos:
            assets = resolve_assets(args.assets or (demos.settings or {}).get("assets", "auto"))
            for index, demo in enumerate(demos[: args.episodes]):
                success, difference = replay(demo, assets)
                is_same = success == demo.success and difference < REPLAY_TOLERANCE
                num_wrong += not is_same
                verdict = "as recorded" if is_same else f"DIFFERS (recorded {_outcome(demo.success)})"
                print(f"{path} {index}: {_outcome(success)}, states within {difference:.1e}, {verdict}")
    return 1 if num_wrong else 0


def _info(args: argparse.Namespace) -> int:
    from envs.demos import DemoFile

    for path in args.files:
        with DemoFile(path) as demos:
            print(
                f"{path}\n  {demos.instruction}\n  {_summary(list(demos))}\n  recorded with {demos.settings}"
            )
    return 0


def _video(args: argparse.Namespace) -> int:
    from envs.demos import DemoFile
    from envs.video import write_video

    with DemoFile(args.file) as demos:
        if not 0 <= args.episode < len(demos):
            raise ValueError(f"{args.file} has episodes 0 to {len(demos) - 1}, got {args.episode}")
        demo = demos[args.episode]
        captions = [f"{demos.instruction}\nstep {step}  {phase}" for step, phase in enumerate(demo.phases)]
    write_video(args.out, demo.frames, captions)
    print(args.out)
    return 0


def _summary(demos: "list[Demo]") -> str:
    num_solved = sum(demo.success for demo in demos)
    mean_steps = sum(demo.num_steps for demo in demos) / max(1, len(demos))
    num_samples = sum(demo.num_samples for demo in demos)
    solved = f"{len(demos)} episodes, {num_solved} solved, {mean_steps:.0f} steps on average"
    return f"{solved}, {num_samples} samples"


def _outcome(success: bool) -> str:
    return "solved" if success else "not solved"
