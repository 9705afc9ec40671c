"""What the comparison of settings reads from run folders, and the table it makes of it."""

import json
from pathlib import Path

from experiments.compare import difference_of_means, table
from experiments.rows import Row, points, practice


def test_evaluations_are_placed_at_the_steps_that_led_to_them(tmp_path: Path) -> None:
    updates = [
        {
            "update": number,
            "rollout/env_steps_per_s": 10.0 * number,
            "time/interval_s": 2.0,
            "rollout/episodes": float(number - 1),
            "rollout/success": 0.5 if number > 1 else None,
        }
        for number in (1, 2, 3)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in updates))

    def episodes(*successes: bool) -> list[Row]:
        starts = ("suite/0/published-0", "suite/1/published-0")
        return [
            {"start": start, "success": success} for start, success in zip(starts, successes, strict=True)
        ]

    events = [
        {"kind": "evaluation", "update": 0, "episodes": episodes(False, True)},
        {"kind": "episode"},
        {"kind": "evaluation", "update": 2, "episodes": episodes(True, True)},
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in events))
    assert points(tmp_path) == [
        {"update": 0, "env_steps": 0, "successes": 1, "episodes": 2, "by_task": {"suite/0": 0, "suite/1": 1}},
        {
            "update": 2,
            "env_steps": 60,
            "successes": 2,
            "episodes": 2,
            "by_task": {"suite/0": 1, "suite/1": 1},
        },
    ]
    assert practice(tmp_path) == [
        {"env_steps": 60, "success": 0.5, "episodes": 1},
        {"env_steps": 120, "success": 0.5, "episodes": 2},
    ]


def test_the_table_takes_a_run_for_one_observation_and_compares_with_the_full_method() -> None:
    def row(variant: str, seed: int, successes: int) -> Row:
        point = {"update": 27, "successes": successes, "episodes": 40}
        return {"variant": variant, "seed": seed, "points": [point]}

    rows = [
        row("start", 0, 18),
        row("full", 0, 26),
        row("no_curriculum", 0, 20),
        row("full", 1, 30),
        row("no_curriculum", 1, 28),
    ]
    assert table(rows)[2:] == [
        "| start | 45 | 45 | -25 |",
        "| full | 65, 75 | 70 ± 7 |  |",
        "| no_curriculum | 50, 70 | 60 ± 14 | -10 (-79 to +59) |",
    ]
    assert table(rows[2:3])[2:] == ["| no_curriculum | 50 | 50 |  |"]


def test_the_interval_of_a_difference_is_welchs() -> None:
    """Means 2 and 6, variances 1 and 4, of three each: standard error (1/3 + 4/3)^(1/2) = 1.291, and
    (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) = 2.94 degrees of freedom, for which t is 3.22: 4 ± 4.16.
    """
    assert difference_of_means([0.01, 0.02, 0.03], [0.04, 0.06, 0.08]) == "+4 (-0 to +8)"
