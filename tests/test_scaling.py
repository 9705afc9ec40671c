"""What is read out of a long run: success by budget, and whether returns diminish."""

from typing import Any

import pytest

from experiments.scaling import TASKS, report

THREE = TASKS["three"]
MANY = 1_000_000
"""Episodes enough to leave no doubt."""


def row(rates: dict[int, float], number: int = MANY) -> dict[str, Any]:
    """A seed that found these success rates after so many budgets."""
    return {
        "seed": 0,
        "points": [
            {
                "update": budget * THREE.updates,
                "env_steps": 1000 * budget,
                "successes": round(rate * number),
                "episodes": number,
                "by_task": {"suite/0": round(rate * number)},
            }
            for budget, rate in rates.items()
        ],
    }


def test_a_straight_line_gains_the_same_with_every_budget() -> None:
    lines = report(row({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4, 4: 0.5, 8: 0.9}), THREE)
    assert [line.split("|")[4].strip() for line in lines[3:8]] == ["+10 (+10 to +10)"] * 5


def test_looks_need_not_be_whole_budgets() -> None:
    ten = TASKS["ten"]
    looks = row({0: 0.5, 1: 0.6, 2: 0.7})
    for number, point in enumerate(looks["points"]):
        point["update"] = number * ten.every
    cells = [line.split("|") for line in report(looks, ten)[2:5]]
    assert [cell[1].strip() for cell in cells] == ["0", "1.33", "2.67"]
    assert cells[1][4].strip() == "+7 (+7 to +8)", "ten points in one and a third budgets"


@pytest.mark.parametrize(
    ("rates", "share"), [({0: 0.1, 1: 0.5, 2: 0.6, 4: 0.7}, "100%"), ({0: 0.1, 1: 0.15, 2: 0.4}, "0%")]
)
def test_it_says_whether_returns_diminish(rates: dict[int, float], share: str) -> None:
    assert report(row(rates), THREE)[-1].startswith(f"Returns diminish in {share} of")


def test_a_logarithm_gains_the_same_with_every_doubling() -> None:
    rates = {0: 0.1, 1: 0.3, 3: 0.5, 7: 0.7, 2: 0.1 + 0.2 * 1.58496, 4: 0.1 + 0.2 * 2.32193}
    lines = report(row(rates), THREE)
    assert "brings +20 (+20 to +20) points" in lines[-3]


def test_other_looks_do_not_count() -> None:
    """The one at the end of a run that was stopped between two of them."""
    looks = row({0: 0.5, 1: 0.6, 2: 0.7}, 10)
    looks["points"][-1]["update"] -= 1
    assert [line.split("|")[3].split(",")[0].strip() for line in report(looks, THREE)[2:]] == [
        "5 of 10",
        "6 of 10",
    ]
