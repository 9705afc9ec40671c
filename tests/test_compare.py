"""What the comparison of settings reads from run folders, and the table it makes of it."""

import json
from pathlib import Path

from experiments.compare import against_control, against_the_rest, table
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
    lines = table(rows)[2:]
    assert lines[:2] == ["| start | 45 | 45 |  |", "| full | 65, 75 | 70 ± 7 |  |"]
    assert lines[2].startswith("| no_curriculum | 50, 70 | 60 ± 14 | -10 (-")
    assert table(rows[2:3])[2:] == ["| no_curriculum | 50 | 50 |  |"]


def test_differences_from_the_full_method_have_the_intervals_of_dunnetts_own_example() -> None:
    """Dunnett 1955 (J. Am. Stat. Assoc. 50): blood counts of a control and two drugs; s = 1.175 with 12
    degrees of freedom, for which his table has 2.50: 0.65 ± 2.50 s (1/6 + 1/4)^(1/2), and 2.63 ± 1.78.
    """
    counts = {
        "control": [7.40, 8.50, 7.20, 8.24, 9.84, 8.32],
        "drug A": [9.76, 8.80, 7.68, 9.36],
        "drug B": [12.80, 9.68, 12.16, 9.20, 10.55],
    }
    assert against_control(counts, "control") == {
        "drug A": "+65 (-126 to +256)",
        "drug B": "+263 (+84 to +442)",
    }
    assert against_control({"control": [1.0, 2.0]}, "control") == {}
    assert against_control({"control": [1.0], "drug A": [2.0]}, "control") == {}


def test_one_variant_against_all_others_rests_on_the_spread_within_each() -> None:
    """Variance 2 within each, 3 degrees of freedom, t = 3.182: -3 ± 3.182 (2 (1/2 + 1/4))^(1/2) = 3.90."""
    found = against_the_rest({"a": [0.0, 0.02], "b": [0.01, 0.03], "c": [0.05, 0.07]}, "a")
    assert "the 4 other runs judged like it, 4 ± 3 %: -3 (-7 to +1) points" in found
    assert "differ by 1 (standard deviation, 3 degrees of freedom)" in found
    assert against_the_rest({"a": [0.0, 0.02]}, "a") == against_the_rest({"a": [0.0], "b": [0.1]}, "a") == ""
