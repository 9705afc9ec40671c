"""Does more of the same teach more? One run of eight times the demonstration's length, and what it says.

    python -m experiments.scaling                    four hours; stop it any time, the same command goes on
    python -m experiments.scaling --seeds 0 1 2      more seeds make the answer surer
    python -m experiments.scaling --seeds            only the table and the figure

In: experiments/tiny_cpu.yaml. Out: experiments/scaling.json (a row a seed, written whenever it ends or is
stopped), docs/images/scaling.png, and on the terminal: success after 1, 2, 4 and 8 budgets, what each of them
brought, the line success = a + b log2(1 + budgets), and whether returns diminish. Intervals are of 95 %, from
evaluations drawn again with the success rates that were found.
"""

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np

from core.intervals import wilson
from experiments.rows import Row, load_rows, points, rate, save_rows, train

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS, FIGURE = HERE / "scaling.json", HERE.parent / "docs" / "images" / "scaling.png"
UPDATES = 27
"""Of one budget: what the demonstration makes in its half an hour."""
BUDGETS = (0, 1, 2, 4, 8)
SETTINGS = (
    f"run.num_updates={UPDATES * BUDGETS[-1]}",
    f"eval.every={UPDATES}",
    "eval.episodes_per_task=50",
    "eval.videos=0",
)
DRAWS = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/scaling"), help="where run folders go")
    args = parser.parse_args()
    rows = load_rows(RESULTS)
    for seed in args.seeds:
        folder = args.runs / f"seed-{seed}"
        complete = train(folder, *SETTINGS, f"run.seed={seed}")
        if found := points(folder):
            rows = [row for row in rows if row["seed"] != seed]
            rows.append({"seed": seed, "points": found})
            save_rows(RESULTS, rows)
        if not complete:
            return 1
    if rows:
        print("\n".join(report(rows)))
        _draw(rows)
    return 0


def report(rows: list[Row], draws: int = DRAWS) -> list[str]:
    """A Markdown table of what all seeds found together, then the answers."""
    found = _pooled(rows)
    budgets = [budget for budget in BUDGETS if budget in found]
    counts_B2 = np.array([found[budget] for budget in budgets])
    drawn_DB = _draw_again(counts_B2, draws)
    lines = ["| budgets | updates | success | points a budget since the row before |", "|---|---|---|---|"]
    for index, budget in enumerate(budgets):
        gain = "" if index == 0 else _interval(_slopes(drawn_DB, budgets)[:, index - 1])
        lines.append(f"| {budget} | {budget * UPDATES} | {rate(*counts_B2[index].tolist())} | {gain} |")
    if len(budgets) > 2:
        first, rest = _slopes(drawn_DB, budgets)[:, 0], _slope_between(drawn_DB, budgets, 1, -1)
        per_doubling = np.polyfit(np.log2(1 + np.array(budgets)), drawn_DB.T, 1)[0]
        lines += [
            "",
            f"A doubling of 1 + budgets brings {_interval(per_doubling)} points.",
            f"The first budget brought {_interval(first)} points, each later one {_interval(rest)}.",
            f"Returns diminish in {np.mean(rest < first):.0%} of {draws} draws.",
        ]
    return lines


def _pooled(rows: list[Row]) -> dict[int, tuple[int, int]]:
    """Successes and episodes after each number of budgets that every seed has reached."""
    by_seed = [{point["update"] / UPDATES: point for point in row["points"]} for row in rows]
    reached = [budget for budget in BUDGETS if all(budget in of_seed for of_seed in by_seed)]
    return {
        budget: (
            sum(of_seed[budget]["successes"] for of_seed in by_seed),
            sum(of_seed[budget]["episodes"] for of_seed in by_seed),
        )
        for budget in reached
    }


def _draw_again(counts_B2: np.ndarray, draws: int) -> np.ndarray:
    """(D, B) success rates as they might have come out, given what did (a uniform prior)."""
    successes_B, numbers_B = counts_B2.T
    generator = np.random.default_rng(0)
    return generator.beta(successes_B + 1, numbers_B - successes_B + 1, (draws, len(numbers_B)))


def _slopes(rates_DB: np.ndarray, budgets: list[int]) -> np.ndarray:
    """(D, B - 1) gain a budget between neighbours."""
    return np.diff(rates_DB, axis=1) / np.diff(budgets)


def _slope_between(rates_DB: np.ndarray, budgets: list[int], start: int, end: int) -> np.ndarray:
    return (rates_DB[:, end] - rates_DB[:, start]) / (budgets[end] - budgets[start])


def _interval(gains_D: np.ndarray) -> str:
    low, middle, high = np.quantile(100 * gains_D, (0.025, 0.5, 0.975))
    return f"{middle:+.0f} ({low:+.0f} to {high:+.0f})"


def _draw(rows: list[Row]) -> None:
    """Every evaluation of every seed over its environment steps."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for row in rows:
        steps = [point["env_steps"] / 1000 for point in row["points"]]
        counts = [(point["successes"], point["episodes"]) for point in row["points"]]
        rates = np.array([successes / number for successes, number in counts])
        low, high = np.array([wilson(*count) for count in counts]).T
        axes.errorbar(
            steps, rates, (rates - low, high - rates), marker="o", capsize=3, label=f"seed {row['seed']}"
        )
    axes.set(xlabel="thousand environment steps", ylabel="success on published starts", ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
