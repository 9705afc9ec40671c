"""Does a policy learn less when parts of the system are killed again and again while it learns?

    python -m drills.learning                        two runs, 40 minutes on two quiet cores
    python -m drills.learning --clean runs/peace     with a peaceful run of as many updates that is there

In: the demonstration's settings, seed 0. Out: a table, and one JSON object on the last line: success at the
end against the 95 % interval of the run that was left in peace, and that both runs came to their end; exit
code 1 if something did not hold.
"""

import argparse
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Row, at_least, below, print_report
from core.intervals import wilson
from drills import ends
from drills.system import System
from experiments.rows import BASE, points

VICTIMS = ("environment", "env_actor", "replica", "learner", "reward")
EVERY_UPDATES = 2
"""One is killed after every second update, none while the last ones are made."""
NUM_UPDATES = 12
BUDGET = (f"run.num_updates={NUM_UPDATES}", "eval.episodes_per_task=20", "eval.videos=0")
CHECKPOINTS = f"run.checkpoint_every={EVERY_UPDATES}"
UPDATE_S = 1800.0
"""An update, a recovery and an evaluation take less on any machine."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clean", type=Path, metavar="RUN", help="a finished run with nothing killed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drills-") as folder:
        clean, rows = (points(args.clean), []) if args.clean else _learn(Path(folder), "clean", ())
        faulty, more_rows = _learn(Path(folder), "faulty", VICTIMS)
    rows = [_comparison(clean[-1], faulty[-1]), *rows, *more_rows]
    print_report("drills_learning", rows)
    return int(any(row.ok is False for row in rows))


def _learn(folder: Path, name: str, victims: tuple[str, ...]) -> tuple[list[dict[str, Any]], list[Row]]:
    """Its evaluations; and that every victim was missed, that nothing was used twice."""
    run = folder / name
    words = [str(BASE), *BUDGET, CHECKPOINTS, f"run.runs_dir={folder}", f"run.name={name}", "run.seed=0"]
    with System(folder, words, run) as system:
        for number, victim in enumerate(victims, 1):
            system.wait_for(partial(_has_made, system, number * EVERY_UPDATES), "updates", UPDATE_S)
            pid = system.signal(victim, signal.SIGKILL)
            print(f"{name}: killed {victim}, process {pid}", flush=True)
        status = system.process.wait()
        found = points(run)
        missed = {event["fault"] for event in system.events if event["kind"] == "fault"}
        rows = [
            below(f"{name}: exit status", abs(status), 1),
            at_least(f"{name}: updates until the last evaluation", found[-1]["update"], NUM_UPDATES),
            at_least(
                f"{name}: kinds of processes killed and missed", len(missed & set(victims)), len(victims)
            ),
        ]
        return found, [*rows, *ends.nothing_twice(system)]


def _has_made(system: System, number: int) -> bool:
    """So many updates."""
    return any(line["update"] >= number for line in system.updates)


def _comparison(clean: dict[str, Any], faulty: dict[str, Any]) -> Row:
    low, high = wilson(clean["successes"], clean["episodes"])
    return at_least(
        "success of what learned among faults",
        faulty["successes"] / faulty["episodes"],
        round(low, 3),
        f"in peace {clean['successes'] / clean['episodes']:.0%} ({low:.0%}-{high:.0%})",
    )


if __name__ == "__main__":
    sys.exit(main())
