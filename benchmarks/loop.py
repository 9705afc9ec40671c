"""The loop against its targets, row by row.

    python -m benchmarks.loop [controller overlap parts lockstep tests memory drills] [--policy FOLDER]

In: nothing (a random tiny policy is made), and which sections to measure; all of them take about an hour on
two idle cores, most of it in `drills`, which kills every kind of process in turn. Out: a table, and one JSON
object on the last line. A row that is a test's verdict has the number of failed tests as its value; the
tolerance is in the test.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from benchmarks.loop_endurance import drill_rows, exactness_rows, memory_row
from benchmarks.report import Row, at_least, below, print_report, print_rows

CONTROLLER_SIZES = (16, 64, 256)
STATISTICS = {"q01": [-0.9] * 6 + [0.0], "q99": [0.9] * 6 + [1.0], "mask": [True] * 6 + [False]}
TURNS = 2
UPDATES_PER_TURN = 4
MAX_LAG = 2
SHARED_WORDS = (
    "run.checkpoint_every=0",
    "run.video_every=0",
    "eval.episodes_per_task=1",
    "eval.videos=0",
    "env.tasks=[0]",
    "env.assets=primitive",
    "env.max_steps=120",
    "env.envs_per_actor=16",
    "env.workers_per_actor=2",
    "engine.max_num_seqs=16",
    "learner.decisions_per_update=256",
    "critic.warmup_updates=0",
    f"buffer.max_lag={MAX_LAG}",
)
LOOP_WORDS = ("engine.gather_ms=100",)


def controller_rows(policy: Path, scratch: Path) -> list[Row]:
    """CPU of controller, buffer and curriculum over environments that take no time."""
    milliseconds = [controller_ms_per_chunk(number) for number in CONTROLLER_SIZES]
    note = ", ".join(f"{n} environments {m:.3f}" for n, m in zip(CONTROLLER_SIZES, milliseconds, strict=True))
    return [
        below("controller CPU per chunk, ms, most of all sizes", max(milliseconds), 2, note),
        below("the same, 256 environments against 16", milliseconds[-1] / milliseconds[0], 1.5),
    ]


def controller_ms_per_chunk(num_envs: int, num_updates: int = 20, decisions: int = 8) -> float:
    """CPU of controller, buffer and curriculum over environments that take no time."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"run.num_updates={num_updates}",
            f"learner.decisions_per_update={num_envs * decisions}",
            "run.checkpoint_every=0",
        ]
        from tests.cluster.fakes import InstantFleet
        from tests.cluster.harness import Harness

        harness = Harness(Path(folder), words, fleet=InstantFleet(num_envs, decisions))
        began = time.process_time()
        with redirect_stdout(StringIO()):
            harness.controller.run()
        return (time.process_time() - began) / (num_envs * num_updates) * 1e3


def overlap_rows(policy: Path, scratch: Path) -> list[Row]:
    """What scheduling alone brings, where nobody shares a device."""
    from benchmarks.loop_overlap import rows

    return rows()


def parts_rows(policy: Path, scratch: Path) -> list[Row]:
    from benchmarks.loop_parts import parts_row

    return [parts_row(policy, seconds=30)]


def lockstep_rows(policy: Path, scratch: Path) -> list[Row]:
    """The loop and lockstep in turns, so that whatever else the machine does meets both."""
    from benchmarks.loop_lockstep import lockstep_rate, loop_rate

    words = [f"policy.checkpoint={policy}", *SHARED_WORDS]
    loops, locksteps, lags = [], [], []
    for turn in range(TURNS):
        rate, lines = loop_rate([*words, *LOOP_WORDS], scratch, f"turn-{turn}", UPDATES_PER_TURN)
        loops.append(rate)
        lags += [line["learner/lag_max"] for line in lines]
        rate, seconds = lockstep_rate(words, UPDATES_PER_TURN)
        locksteps.append(rate)
        print(
            f"turn {turn}: loop {loops[-1]:.1f} decisions/s, lockstep {rate:.1f}; an update of it:",
            flush=True,
        )
        print("  " + ", ".join(f"{phase} {spent:.1f} s" for phase, spent in seconds.items()), flush=True)
    note = f"decisions/s by turn: {_rates(loops)} against {_rates(locksteps)}"
    return [
        at_least("the whole loop / lockstep of the same parts", sum(loops) / sum(locksteps), 2, note),
        below(f"largest policy lag (bound {MAX_LAG})", max(lags), MAX_LAG + 1),
    ]


def _rates(rates: list[float]) -> str:
    return ", ".join(f"{rate:.1f}" for rate in rates)


def memory_rows(policy: Path, scratch: Path) -> list[Row]:
    return [memory_row(policy, scratch)]


SECTIONS: dict[str, Callable[[Path, Path], list[Row]]] = {
    "controller": controller_rows,
    "overlap": overlap_rows,
    "parts": parts_rows,
    "lockstep": lockstep_rows,
    "tests": lambda policy, scratch: exactness_rows(),
    "memory": memory_rows,
    "drills": lambda policy, scratch: drill_rows(),
}


def random_policy(folder: Path) -> Path:
    from policy.presets import make_tiny

    make_tiny(folder, "tiny")
    (folder / "dataset_statistics.json").write_text(json.dumps({"libero_spatial": {"action": STATISTICS}}))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; default: all")
    parser.add_argument("--policy", type=Path, help="a policy folder instead of a random tiny one")
    args = parser.parse_args()
    if unknown := set(args.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="loop") as folder:
        policy = (args.policy or random_policy(Path(folder) / "tiny")).absolute()
        for section in args.sections or SECTIONS:
            measured = SECTIONS[section](policy, Path(folder))
            print_rows(measured)
            rows += measured
    print_report("loop", rows)


if __name__ == "__main__":
    main()
