"""The demonstration with one thing changed, several seeds each, and what came of it.

    python -m experiments.compare                              whatever has no result yet, 20 minutes a run
    python -m experiments.compare --only full learning_rate_x10 --seeds 0
    python -m experiments.compare --only                       only the table and the figure

In: experiments/tiny_cpu.yaml and the changes below. Out: experiments/variants.json (a row a run, written when
it ends), a table, docs/images/variants.png. All runs make equally many updates of equally many decisions from
the same policy and are judged on the same published starts. Stop it at any time: the same command goes on.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from core.intervals import wilson
from core.metrics import read_lines

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
BASE, RESULTS = HERE / "tiny_cpu.yaml", HERE / "variants.json"
FIGURE = HERE.parent / "docs" / "images" / "variants.png"
BUDGET = ("run.num_updates=12", "eval.every=4", "eval.episodes_per_task=20", "eval.videos=0")
COMPLETE = 0
VARIANTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no_reward_model": ("reward.checkpoint=",),
    "additive_shaping": ("reward.shaping=additive",),
    "no_curriculum": ("curriculum.kind=uniform",),
    "no_critic_warmup": ("critic.warmup_updates=0",),
    "temperature_1": ("policy.temperature=1.0",),
    "learning_rate_x10": ("learner.lr=1e-2",),
    "no_target_kl": ("learner.target_kl=0",),
}
"""One change each: the paper's shaping, its ablations, and the rule that holds steps back."""

Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", metavar="VARIANT", default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"), help="where run folders go")
    args = parser.parse_args()
    if unknown := set(args.only) - set(VARIANTS):
        parser.error(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    rows: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    known = {(row["variant"], row["seed"]) for row in rows}
    for seed in args.seeds:  # all variants once, then all again: an early stop leaves something to compare
        for name in args.only:
            if (name, seed) in known:
                continue
            print(f"== {name}, seed {seed}", flush=True)
            points = _run(args.runs, name, seed, VARIANTS[name])
            if points is None:
                return 1
            rows.append({"variant": name, "seed": seed, "words": VARIANTS[name], "points": points})
            RESULTS.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    grouped = {name: [row for row in rows if row["variant"] == name] for name in VARIANTS}
    grouped = {name: found for name, found in grouped.items() if found}
    for line in table(grouped):
        print(line)
    _draw(grouped)
    return 0


def _run(runs: Path, name: str, seed: int, words: Sequence[str]) -> list[Row] | None:
    """What each evaluation of the run found; None if it did not end well."""
    run = f"{name}-{seed}"
    where = [f"run.runs_dir={runs}", f"run.name={run}", f"run.seed={seed}"]
    command = [sys.executable, "-m", "cli.main", "train", "--or-resume", str(BASE), *BUDGET, *where, *words]
    return points(runs / run) if subprocess.run(command, check=False).returncode == COMPLETE else None


def points(folder: Path) -> list[Row]:
    """Environment steps until each evaluation of a run, and how many episodes of it succeeded."""
    steps = defaultdict(float)
    total = 0.0
    for line in read_lines(folder / "metrics.jsonl"):
        total += line["rollout/env_steps_per_s"] * line["time/interval_s"]
        steps[line["update"]] = total
    return [
        {
            "update": line["update"],
            "env_steps": round(steps[line["update"]]),
            "successes": sum(episode["success"] for episode in line["episodes"]),
            "episodes": len(line["episodes"]),
        }
        for line in read_lines(folder / "events.jsonl")
        if line["kind"] == "evaluation"
    ]


def _rates(rows: list[Row]) -> np.ndarray:
    """(seeds, evaluations) success."""
    return np.array([[point["successes"] / point["episodes"] for point in row["points"]] for row in rows])


def table(grouped: dict[str, list[Row]]) -> list[str]:
    """Markdown: before and after over all seeds with Wilson intervals, the gain of each seed."""
    lines = ["| variant | seeds | before | after | gain by seed, points |", "|---|---|---|---|---|"]
    for name, rows in grouped.items():
        before, after = (_pooled([row["points"][index] for row in rows]) for index in (0, -1))
        gains = ", ".join(f"{100 * (rates[-1] - rates[0]):+.0f}" for rates in _rates(rows))
        lines.append(f"| {name} | {len(rows)} | {before} | {after} | {gains} |")
    return lines


def _pooled(found: list[Row]) -> str:
    successes, number = (sum(point[key] for point in found) for key in ("successes", "episodes"))
    low, high = wilson(successes, number)
    return f"{successes / number:.0%} ({low:.0%}-{high:.0%})"


def _draw(grouped: dict[str, list[Row]]) -> None:
    """Mean over the seeds, and from the least to the most."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, rows in grouped.items():
        rates = _rates(rows)
        steps = np.mean([[point["env_steps"] for point in row["points"]] for row in rows], axis=0) / 1000
        (line,) = axes.plot(steps, rates.mean(axis=0), marker="o", label=name.replace("_", " "))
        axes.fill_between(steps, rates.min(axis=0), rates.max(axis=0), color=line.get_color(), alpha=0.12)
    axes.set(xlabel="thousand environment steps", ylabel="success on published starts", ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, fontsize=8)
    figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
