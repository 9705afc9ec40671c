"""Break a running system in every way there is, and show what held: what `make drills` runs.

    python -m drills                 the whole table: a quarter of an hour on two quiet cores
    python -m drills --short         a few minutes; the same that the tests run
    python -m drills --only replica  drills whose names hold this word

In: nothing (a tiny policy with random weights is made). Out: a table, and one JSON object on the last line;
exit code 1 if something did not hold.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.report import Row, at_least, not_measured, print_report, print_rows
from drills import ends
from drills.phases import Outcome, Phases
from drills.system import System
from drills.table import CHECKPOINT_EVERY, ENVS_PER_ACTOR, REST, SHORT, STEP_TIMEOUT_S, Drill

SETTINGS = [
    "run.name=drilled",
    "run.num_updates=1000000",
    f"run.checkpoint_every={CHECKPOINT_EVERY}",
    "run.keep_checkpoints=5",
    "run.video_every=0",
    "env.assets=primitive",
    "env.tasks=[0]",
    "env.max_steps=16",
    "env.num_actors=2",
    f"env.envs_per_actor={ENVS_PER_ACTOR}",
    "env.workers_per_actor=1",
    "policy.lora_rank=4",
    "engine.max_num_seqs=4",
    "learner.decisions_per_update=48",  # the buffer then holds what is made until a hang is noticed
    "learner.minibatch_size=16",
    "learner.microbatch_size=16",
    "learner.epochs=1",
    "critic.warmup_updates=0",
    "eval.episodes_per_task=1",
    "eval.videos=0",
]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="only what is quick")
    parser.add_argument("--only", help="drills whose names hold this word")
    args = parser.parse_args()
    chosen = SHORT if args.short else (*SHORT, *REST)
    drills = [drill for drill in chosen if not args.only or args.only in drill.name]
    with tempfile.TemporaryDirectory(prefix="drills-") as folder:
        rows = all_rows(Path(folder), drills, whole=not args.short and not args.only, timed=True)
    print_report("drills", rows)
    return int(any(row.ok is False for row in rows))


def all_rows(folder: Path, drills: list[Drill], *, whole: bool, timed: bool) -> list[Row]:
    """Every drill on one run, and its end; if `whole`, also a second start, from damaged checkpoints.

    `timed` is for a machine with nothing else to do: there it also matters how fast things are, and who takes
    long may be called hung.
    """
    disk = folder / "disk"
    disk.mkdir()
    with ends.small_disk(disk) as refusal:
        run = disk / "drilled"
        words = [*SETTINGS, f"policy.checkpoint={make_policy(folder)}", f"run.runs_dir={disk}"]
        if timed:
            words.append(f"env.step_timeout_s={STEP_TIMEOUT_S}")
        if any(drill.counted == "reward" for drill in drills):
            words.append(f"reward.checkpoint={make_reward_model(folder)}")
        rows = []
        with System(folder, words, run) as system:
            system.wait_for(lambda: len(system.updates) >= 2, "two updates")
            phases = Phases(system, timed=timed)
            for drill in drills:
                rows += show(_rows_of(phases.run(drill)))
            rows += show([ends.second_driver(system)])
            rows += show([not_measured("a full disk", refusal) if refusal else ends.full_disk(system)])
            rows += show(ends.told_to_stop(system))
            rows += show([*ends.kept_to_itself(system), *ends.nothing_twice(system)])
        if whole:
            rows += show(_second_life(folder, run))
    return rows


def make_policy(folder: Path) -> Path:
    """Random weights: what a run survives does not depend on how well it does."""
    import json

    from policy.presets import make_tiny

    made = folder / "policy"
    make_tiny(made, "tiny")
    statistics = {"q01": [-0.9] * 6 + [0.0], "q99": [0.9] * 6 + [1.0], "mask": [True] * 6 + [False]}
    (made / "dataset_statistics.json").write_text(json.dumps({"libero_spatial": {"action": statistics}}))
    return made


def make_reward_model(folder: Path) -> Path:
    """Random weights as well."""
    from policy.presets import make_tiny
    from reward.checkpoint import Backend, Description
    from reward.model import ScoreWeights
    from reward.native import NativeNetwork

    made = folder / "reward"
    make_tiny(folder / "start", "micro")
    NativeNetwork(folder / "start").save(made)
    Description(backend=Backend.NATIVE, base="", view_of="", weights=ScoreWeights(), training={}).write(made)
    return made


def _second_life(folder: Path, run: Path) -> list[Row]:
    """Resume from damaged checkpoints, then lose the controller."""
    expected = ends.damage_newest(run)
    with System(folder, ["--resume", str(run)], run) as system:
        system.wait_for(lambda: any(e["kind"] == "resumed" for e in system.events), "the run to go on")
        mark = len(system.updates)
        system.wait_for(lambda: len(system.updates) >= mark + 2, "two updates after damage")
        return [
            ends.resumed(system, expected),
            ends.killed_driver(system),
            *ends.nothing_twice(system),
        ]


def _rows_of(outcome: Outcome) -> list[Row]:
    """Time to recover, and the rate of what the fault does not touch."""
    drill = outcome.drill
    lost = f"{outcome.num_dropped} episodes and {outcome.num_updates_lost} updates lost"
    row = Row(
        name=drill.name,
        value=outcome.recovery_s,
        target=f"<= {drill.limit_s:g} s",
        ok=not outcome.failure,
        note=outcome.failure
        or f"{drill.holds}; {outcome.before:.0f} steps/s before, {outcome.after:.0f} after, {lost}",
    )
    rows = [row]
    if outcome.others is not None:
        rows.append(
            at_least("    meanwhile, rate of the environments it does not touch", outcome.others, 0.9)
        )
    return rows


def show(rows: list[Row]) -> list[Row]:
    """Print at once what is known."""
    print_rows(rows)
    return rows


if __name__ == "__main__":
    sys.exit(main())
