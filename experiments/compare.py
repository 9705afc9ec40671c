"""The demonstration with one thing changed, several seeds each, and what came of it.

    python -m experiments.compare                              whatever has no result yet, half an hour a run
    python -m experiments.compare --only full learning_rate_x10 --seeds 0
    python -m experiments.compare --only                       only the table and the figure

In: experiments/tiny_cpu.yaml and the changes below. Out: experiments/variants.json (a row a run, written when
it ends), a table, docs/images/variants.png. All runs make equally many updates of equally many decisions from
the same policy and are judged on the same published starts. Stop it at any time: the same command goes on.
"""

import argparse
import math
import sys
from pathlib import Path
from statistics import mean

import matplotlib
import numpy as np
from scipy.stats import dunnett
from scipy.stats import t as student_t

from experiments.rows import (
    Row,
    in_points,
    load_rows,
    mean_and_spread,
    points,
    practice,
    save_rows,
    train,
)

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "variants.json"
FIGURE = HERE.parent / "docs" / "images" / "variants.png"
BUDGET = ("run.num_updates=27", "eval.before=false", "eval.episodes_per_task=40", "eval.videos=0")
"""What the demonstration makes in its half an hour (25 to 30 updates). It has judged the policy that all
begin with three times: no other run need do that again."""
GIVEN = ("start", "demonstration")
"""Rows that are not made here: `make demo` before and after, of three seeds and another version."""
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
            folder = args.runs / f"{name}-{seed}"
            if not train(folder, *BUDGET, f"run.seed={seed}", *VARIANTS[name]):
                return 1
            found = {"points": points(folder), "practice": practice(folder)}
            rows.append({"variant": name, "seed": seed, "words": VARIANTS[name], **found})
            save_rows(RESULTS, rows)
    print("\n".join(table(rows)))
    print(against_the_rest(_ends(rows, but=("start", "temperature_1")), "no_reward_model"))
    _draw(rows)
    return 0


def table(rows: list[Row]) -> list[str]:
    """Markdown: what all began with and what each variant came to, by seed and in the mean."""
    lines = [
        "| variant | by seed, % | mean ± standard deviation | against `full`, points |",
        "|---|---|---|---|",
    ]
    against = against_control(_ends(rows, but=("start",)), "full")
    for name, found in _ends(rows).items():
        by_seed = ", ".join(f"{100 * rate:.0f}" for rate in found)
        lines.append(f"| {name} | {by_seed} | {mean_and_spread(found)} | {against.get(name, '')} |")
    return lines


def against_control(groups: dict[str, list[float]], control: str) -> dict[str, str]:
    """Differences of means in points with Dunnett's 95 % intervals, which hold for all groups at once.

    A run is one observation, however many episodes judge it; all groups are taken to spread alike.
    """
    others = [name for name in groups if name != control]
    num_runs = sum(map(len, groups.values()))
    if control not in groups or not others or num_runs <= len(groups):
        return {}
    found = dunnett(*(groups[name] for name in others), control=groups[control], random_state=0)
    interval = found.confidence_interval()
    gains = [mean(groups[name]) - mean(groups[control]) for name in others]
    bounds = zip(interval.low, interval.high, strict=True)
    return {name: in_points(gain, pair) for name, gain, pair in zip(others, gains, bounds, strict=True)}


def against_the_rest(groups: dict[str, list[float]], name: str) -> str:
    """A sentence: one group against all others together. All groups are taken to spread alike."""
    rest = [rate for other, found in groups.items() if other != name for rate in found]
    freedom = sum(len(found) - 1 for found in groups.values())
    if name not in groups or not rest or not freedom:
        return ""
    spread = math.sqrt(
        sum(sum((rate - mean(found)) ** 2 for rate in found) for found in groups.values()) / freedom
    )
    half = student_t.ppf(0.975, freedom) * spread * math.sqrt(1 / len(groups[name]) + 1 / len(rest))
    gain = mean(groups[name]) - mean(rest)
    return (
        f"{name} against the {len(rest)} other runs judged like it, {mean_and_spread(rest)} %: "
        f"{in_points(gain, (gain - half, gain + half))} points, where runs of one variant differ by "
        f"{100 * spread:.0f} (standard deviation, {freedom} degrees of freedom)."
    )


def _ends(rows: list[Row], but: tuple[str, ...] = ()) -> dict[str, list[float]]:
    """Success in the last evaluation of every run, by variant."""
    found: dict[str, list[float]] = {name: [] for name in (*GIVEN, *VARIANTS) if name not in but}
    for row in rows:
        if row["variant"] in found:
            end = row["points"][-1]
            found[row["variant"]].append(end["successes"] / end["episodes"])
    return {name: rates for name, rates in found.items() if rates}


def _draw(rows: list[Row]) -> None:
    """Left: success in practice, mean of the seeds and least to most. Right: where each ended."""
    ends = _ends(rows)
    shown = [name for name in (*reversed(VARIANTS), *reversed(GIVEN)) if name in ends]
    figure, (learning, judged) = plt.subplots(1, 2, figsize=(10, 2 + 0.3 * len(shown)), layout="constrained")
    for height, name in enumerate(shown):
        color = "gray" if name in GIVEN else f"C{list(VARIANTS).index(name)}"
        found = [100 * rate for rate in ends[name]]
        judged.plot([min(found), max(found)], [height, height], color=color, linewidth=7, alpha=0.25)
        judged.plot(found, [height] * len(found), "o", color=color)
        judged.plot(np.mean(found), height, "|", color=color, markersize=16)
        curves = [_smoothed(row["practice"]) for row in rows if row["variant"] == name and "practice" in row]
        if curves:
            first, last = max(curve[0][0] for curve in curves), min(curve[0][-1] for curve in curves)
            steps = np.linspace(first, last, 100)
            rates = np.array([np.interp(steps, *curve) for curve in curves])
            learning.plot(steps / 1000, rates.mean(axis=0), color=color)
            learning.fill_between(steps / 1000, rates.min(axis=0), rates.max(axis=0), color=color, alpha=0.12)
    learning.set(xlabel="thousand environment steps", ylabel="success in practice", ylim=(0, 1))
    judged.set(xlabel="success on published starts, %", xlim=(0, 100), ylim=(-0.6, len(shown) - 0.4))
    judged.set_yticks(range(len(shown)), [name.replace("_", " ") for name in shown])
    for axes in (learning, judged):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=130)


def _smoothed(updates: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps, and success over the episodes of five updates."""
    steps, success, episodes = (
        np.array([update[key] for update in updates], dtype=float)
        for key in ("env_steps", "success", "episodes")
    )
    window = np.ones(5)
    solved, played = (np.convolve(counts, window, mode="valid") for counts in (success * episodes, episodes))
    return np.convolve(steps, window / 5, mode="valid"), solved / played


if __name__ == "__main__":
    sys.exit(main())
