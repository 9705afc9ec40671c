"""Does `vlarl plan --measure` foresee what a run then does? The parts alone against the same parts in a run.

    python -m benchmarks.plan [--policy FOLDER] [--seconds 10] [--updates 4]

In: a policy. Out: a table, and one JSON object on the last line. What is compared is CPU time per decision.
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
MAX_NUM_SEQS = 8
WORDS = [
    "env.assets=primitive",
    "env.tasks=[0]",
    "env.max_steps=80",
    f"engine.max_num_seqs={MAX_NUM_SEQS}",
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
    plan = make_plan(costs, Devices(num_gpus=0, num_cores=cores), max_num_seqs=MAX_NUM_SEQS)
    spent = cpu_per_decision(words, args.updates)
    planned, found = sum(plan.costs.values()), sum(spent.values())
    parts = ", ".join(f"{s.name.lower()} {1e3 * plan.costs[s]:.1f}/{1e3 * spent[s]:.1f}" for s in Stage)
    share = spent[plan.bottleneck] / max(spent.values())
    rows = [
        Row(
            name="CPU time of a decision, planned against found",
            value=planned / found,
            target="0.67-1.5",
            ok=1 / 1.5 <= planned / found <= 1.5,
            note=f"ms: {parts}",
        ),
        Row(
            name="the planned bottleneck's cost against the dearest part's",
            value=share,
            target=">= 0.8",
            ok=share >= 0.8,
            note=f"planned {plan.bottleneck.value}, found {max(spent, key=spent.__getitem__).value}",
        ),
    ]
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


if __name__ == "__main__":
    main()
