"""Does `vlarl plan --measure` foresee what a run then does? The parts alone against the same parts in a run.

    python -m benchmarks.plan [--policy FOLDER] [--seconds 10] [--updates 4]

In: a policy. Out: a table, and one JSON object on the last line. CPU time per decision is compared, part by
part: it says the same on a busy machine as on an idle one.
"""

import argparse
import os
import tempfile
from pathlib import Path

import psutil

from benchmarks.report import Row, print_report
from cluster.measurement import measure
from cluster.plan import Devices, Stage, make_plan
from core import settings
from drills.system import System

KINDS = {
    Stage.SIMULATION: "environment",
    Stage.PICTURES: "env_actor",
    Stage.INFERENCE: "replica",
    Stage.LEARNING: "learner",
}
WORDS = [
    "env.assets=primitive",
    "env.tasks=[0]",
    "env.max_steps=80",
    "engine.max_num_seqs=8",
    "learner.decisions_per_update=128",
    "learner.minibatch_size=64",
    "learner.microbatch_size=32",
    "critic.warmup_updates=0",
    "run.checkpoint_every=0",
    "run.video_every=0",
    "eval.episodes_per_task=1",
    "eval.videos=0",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", type=Path, default=Path("demo/policy"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each part alone")
    parser.add_argument("--updates", type=int, default=4, help="of the run that is compared with")
    args = parser.parse_args()
    words = [*WORDS, f"policy.checkpoint={args.policy.absolute()}"]
    costs = measure(settings.load(None, words), args.seconds)
    cores = len(os.sched_getaffinity(0))
    plan = make_plan(costs, Devices(num_gpus=0, num_cores=cores), max_num_seqs=8)
    spent = cpu_per_decision(words, args.updates)
    found = max(spent, key=spent.__getitem__)
    rows = [_ratio(stage.value, plan.costs[stage], spent[stage], "CPU-ms a decision") for stage in Stage]
    rows.append(
        Row(
            name="the same bottleneck",
            value=float(plan.bottleneck is found),
            target="= 1",
            ok=plan.bottleneck is found,
            note=f"planned {plan.bottleneck.value}, found {found.value}",
        )
    )
    print_report("plan", rows)


def cpu_per_decision(words: list[str], num_updates: int) -> dict[Stage, float]:
    """CPU-seconds that each kind of process spends per decision, over some updates of a real run."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        settings_of_run = [*words, f"run.runs_dir={folder}", "run.name=run", "run.num_updates=100000"]
        with System(Path(folder), settings_of_run, run) as system:
            system.wait_for(lambda: len(system.updates) >= 2, "two updates")
            before, first = _cpu_s(system), len(system.updates)
            system.wait_for(lambda: len(system.updates) >= first + num_updates, "more updates")
            after, lines = _cpu_s(system), system.updates[first:]
    decisions = sum(line["rollout/decisions_per_s"] * line["time/interval_s"] for line in lines)
    return {stage: (after[stage] - before[stage]) / decisions for stage in Stage}


def _cpu_s(system: System) -> dict[Stage, float]:
    """So far, of all processes of each kind."""
    spent = dict.fromkeys(Stage, 0.0)
    for stage, kind in KINDS.items():
        for pid in system.pids(kind):
            times = psutil.Process(pid).cpu_times()
            spent[stage] += times.user + times.system
    return spent


def _ratio(name: str, planned_s: float, found_s: float, note: str) -> Row:
    """What was foreseen against what was found; a factor of 1.5 either way is good enough to choose by."""
    ratio = planned_s / found_s
    note = f"{note}: planned {1e3 * planned_s:.2f}, found {1e3 * found_s:.2f}"
    return Row(name=name, value=ratio, target="0.67-1.5", ok=1 / 1.5 <= ratio <= 1.5, note=note)


if __name__ == "__main__":
    main()
