"""Does more of the same teach more? A run of eight times the demonstration's length, and what it says.

    python -m experiments.scaling                    four hours; stop it any time, the same command goes on
                                                     (without its run folder: begins anew, replaces its row)
    python -m experiments.scaling --tasks ten        all ten of libero_spatial, with updates thrice as large
    python -m experiments.scaling --tasks ten-small  the same with the demonstration's updates
    python -m experiments.scaling --seeds 0 1 2      more runs show how far they differ
    python -m experiments.scaling --seeds            only the tables and the figure

In: experiments/tiny_cpu.yaml. Out: experiments/scaling.json (a row a run, written whenever it ends or is
stopped), docs/images/scaling.png, and on the terminal for each run: success after each budget, what it
brought, the line success = a + b log2(1 + budgets), and whether returns diminish. Intervals are of 95 %, from
evaluations drawn again with the success rates that were found.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from core.intervals import wilson
from experiments.rows import Row, load_rows, points, rate, save_rows, train

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "scaling.json", HERE.parent / "docs" / "images" / "scaling.png"
BUDGETS = 8
ALL_TASKS = ("env.tasks=[0,1,2,3,4,5,6,7,8,9]", "eval.episodes_per_task=20")
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Practice:
    """What is practised and judged."""

    name: str
    updates: int
    """Of one budget: what the demonstration makes in its half an hour, or as many decisions."""
    every: int
    """Updates between two looks."""
    words: tuple[str, ...]
    """What is not as in the demonstration."""

    @property
    def settings(self) -> tuple[str, ...]:
        length = (f"run.num_updates={self.updates * BUDGETS}", f"eval.every={self.every}", "eval.videos=0")
        return (*length, *self.words)


TASKS = {
    "three": Practice(
        "three tasks", 27, 27, ("env.tasks=[0,3,8]", "eval.episodes_per_task=50", "engine.gather_ms=500")
    ),
    "ten": Practice(
        "ten tasks",
        9,
        12,
        (
            *ALL_TASKS,
            "learner.decisions_per_update=4608",
            "learner.minibatch_size=384",
            "critic.warmup_updates=1",
        ),
    ),
    "ten-small": Practice("ten tasks, small updates", 27, 27, ALL_TASKS),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", choices=TASKS, default="three")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/scaling"), help="where run folders go")
    args = parser.parse_args()
    rows = load_rows(RESULTS)
    for seed in args.seeds:
        folder = args.runs / f"{args.tasks}-tasks-{seed}"
        complete = train(folder, *TASKS[args.tasks].settings, f"run.seed={seed}")
        if found := points(folder):
            rows = [row for row in rows if (row["tasks"], row["seed"]) != (args.tasks, seed)]
            rows.append({"tasks": args.tasks, "seed": seed, "points": found})
            save_rows(RESULTS, rows)
        if not complete:
            return 1
    for row in rows:
        practice = TASKS[row["tasks"]]
        print("\n".join([f"{practice.name}, seed {row['seed']}:", "", *report(row, practice), ""]))
    _draw(rows)
    return 0


def report(row: Row, practice: Practice, draws: int = DRAWS) -> list[str]:
    """A Markdown table of what a run found, then the answers."""
    found = {
        point["update"] / practice.updates: point
        for point in row["points"]
        if point["update"] % practice.every == 0
    }
    budgets = list(found)
    counts_B2 = np.array([(point["successes"], point["episodes"]) for point in found.values()])
    drawn_DB = _draw_again(counts_B2, draws)
    lines = [
        "| budgets | environment steps | success | points a budget since the row before | by task |",
        "|---|---|---|---|---|",
    ]
    for index, (budget, point) in enumerate(found.items()):
        gain = "" if index == 0 else _interval(_slopes(drawn_DB, budgets)[:, index - 1])
        by_task = ", ".join(str(solved) for solved in point["by_task"].values())
        success = rate(point["successes"], point["episodes"])
        lines.append(f"| {budget:.3g} | {point['env_steps']:,} | {success} | {gain} | {by_task} |")
    if len(budgets) > 2:
        first, rest = _slopes(drawn_DB, budgets)[:, 0], _slope_between(drawn_DB, budgets, 1, -1)
        per_doubling = np.polyfit(np.log2(1 + np.array(budgets)), drawn_DB.T, 1)[0]
        lines += [
            "",
            f"A doubling of 1 + budgets brings {_interval(per_doubling)} points.",
            f"Until the first look a budget brought {_interval(first)} points, after it {_interval(rest)}.",
            f"Returns diminish in {np.mean(rest < first):.0%} of {draws} draws.",
        ]
    return lines


def _draw_again(counts_B2: np.ndarray, draws: int) -> np.ndarray:
    """(D, B) success rates as they might have come out, given what did (a uniform prior)."""
    successes_B, numbers_B = counts_B2.T
    generator = np.random.default_rng(0)
    return generator.beta(successes_B + 1, numbers_B - successes_B + 1, (draws, len(numbers_B)))


def _slopes(rates_DB: np.ndarray, budgets: list[float]) -> np.ndarray:
    """(D, B - 1) gain a budget between neighbours."""
    return np.diff(rates_DB, axis=1) / np.diff(budgets)


def _slope_between(rates_DB: np.ndarray, budgets: list[float], start: int, end: int) -> np.ndarray:
    return (rates_DB[:, end] - rates_DB[:, start]) / (budgets[end] - budgets[start])


def _interval(gains_D: np.ndarray) -> str:
    low, middle, high = np.quantile(100 * gains_D, (0.025, 0.5, 0.975))
    return f"{middle:+.0f} ({low:+.0f} to {high:+.0f})"


def _draw(rows: list[Row]) -> None:
    """Every evaluation of every run over its environment steps."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for row in rows:
        steps = [point["env_steps"] / 1000 for point in row["points"]]
        counts = [(point["successes"], point["episodes"]) for point in row["points"]]
        rates = np.array([successes / number for successes, number in counts])
        low, high = np.array([wilson(*count) for count in counts]).T
        label = f"{TASKS[row['tasks']].name}, seed {row['seed']}"
        axes.errorbar(steps, rates, (rates - low, high - rates), marker="o", capsize=3, label=label)
    axes.set(xlabel="thousand environment steps", ylabel="success on published starts", ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
