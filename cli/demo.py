"""Watch a tiny VLA learn LIBERO tasks by reinforcement learning, on two CPU cores.

  vlarl demo                  30 minutes: before, training, after
  vlarl demo --minutes 3      a taste: two updates, so that every part runs; too few to show learning

The policy in demo/policy comes from three CPU-minutes of imitation. It practises on fresh initial states, and
is judged before and after on the published ones, which training never sees. The dashboard's address is
printed at once. The last line of output is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = "experiments/tiny_cpu.yaml"
MIN_MINUTES = 2
TASTE_MINUTES = 10
"""Below this the evaluations are kept short, too."""
EPISODES, TASTE_EPISODES = 40, 4
TASTE = ("learner.decisions_per_update=512", "critic.warmup_updates=1")
"""So that the policy is changed, and sent to the replica, with the second update, half a minute each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="for all of it, evaluations included; below 10 about"
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling, practice and the critic")
    parser.add_argument("--no-dashboard", action="store_true", help="do not start the dashboard")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="other settings, as of `vlarl train`"
    )


def run(args: argparse.Namespace) -> int:
    if args.minutes < MIN_MINUTES:
        raise ValueError(
            f"--minutes {args.minutes:g} is too short: starting and two evaluations alone take {MIN_MINUTES}"
        )
    from cli.train import read_settings, train_in
    from cluster.results import film, summary, table
    from cluster.supervision import STOPPED
    from core.runfolder import RunFolder

    started = time.monotonic()
    folder = RunFolder.create(read_settings([SETTINGS, *_settings(args)]))
    with _dashboard(folder.path, wanted=not args.no_dashboard):
        complete = train_in(folder, folder.load_config(), resume=False)
    if not folder.path.exists():  # interrupted while it was starting
        return STOPPED
    print(table(folder.path))
    if args.minutes < TASTE_MINUTES:
        print(f"{args.minutes:g} minutes show that it runs, not that it learns: the intervals overlap by far")
    minutes = round((time.monotonic() - started) / 60, 1)
    result = {"run": str(folder.path), "seed": args.seed, "minutes": minutes, **summary(folder.path)}
    video = film(folder.path)
    print(json.dumps({**result, "video": str(video) if video else None}))
    return 0 if complete else STOPPED


def _settings(args: argparse.Namespace) -> list[str]:
    is_taste = args.minutes < TASTE_MINUTES
    episodes = TASTE_EPISODES if is_taste else EPISODES
    return [
        f"run.name=demo-{time.strftime('%Y%m%d-%H%M%S')}",
        f"run.seed={args.seed}",
        _length(args.minutes),
        f"eval.episodes_per_task={episodes}",
        *(TASTE if is_taste else ()),
        *args.settings,
    ]


def _length(minutes: float) -> str:
    """Of a taste in updates: by the clock a slow machine would make none, and show nothing."""
    if minutes < TASTE_MINUTES:
        return f"run.num_updates={max(2, int(2 * (minutes - MIN_MINUTES)))}"
    reserve = 1 + 0.1 * minutes  # for starting, and for the evaluation in the end
    return f"run.max_minutes={minutes - reserve:g}"


@contextmanager
def _dashboard(folder: Path, *, wanted: bool) -> Iterator[None]:
    """A server beside the run; it says its address itself, and ends with the run."""
    if not wanted:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "dashboard", str(folder), "--port", "0"]
    ) as server:
        try:
            yield
        finally:
            server.terminate()
