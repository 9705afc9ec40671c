"""The demonstration with one thing changed, several seeds each, and what came of it.

    python -m experiments.compare                              whatever has no result yet, half an hour a run
    python -m experiments.compare --only full learning_rate_x10 --seeds 0
    python -m experiments.compare --only                       only the table and the figure

In: experiments/tiny_cpu.yaml and the changes below. Out: experiments/variants.json (a row a run, written when
it ends), a table, docs/images/variants.png. All runs make equally many updates of equally many decisions from
the same policy and are judged on the same published starts. Stop it at any time: the same command goes on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from experiments.rows import Row, load_rows, points, rate, save_rows, train

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "variants.json"
FIGURE = HERE.parent / "docs" / "images" / "variants.png"
BUDGET = ("run.num_updates=27", "eval.episodes_per_task=40", "eval.videos=0")
"""What the demonstration makes in its half an hour (25 to 30 updates): its three runs are `full`."""
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
    rows = load_rows(RESULTS)
    known = {(row["variant"], row["seed"]) for row in rows}
    for seed in args.seeds:  # all variants once, then all again: an early stop leaves something to compare
        for name in args.only:
            if (name, seed) in known:
                continue
            print(f"== {name}, seed {seed}", flush=True)
            found = _run(args.runs / f"{name}-{seed}", seed, VARIANTS[name])
            if found is None:
                return 1
            rows.append({"variant": name, "seed": seed, "words": VARIANTS[name], "points": found})
            save_rows(RESULTS, rows)
    grouped = {name: [row for row in rows if row["variant"] == name] for name in VARIANTS}
    grouped = {name: of_one for name, of_one in grouped.items() if of_one}
    for line in table(grouped):
        print(line)
    _draw(grouped)
    return 0


def _run(folder: Path, seed: int, words: Sequence[str]) -> list[Row] | None:
    """What each evaluation of the run found; None if it did not end well."""
    return points(folder) if train(folder, *BUDGET, f"run.seed={seed}", *words) else None


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
    return rate(*(sum(point[key] for point in found) for key in ("successes", "episodes")))


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
