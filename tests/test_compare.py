"""What the comparison of settings reads from run folders, and the table it makes of it."""

import json
from pathlib import Path

from experiments.compare import table
from experiments.rows import points, practice


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
    events = [
        {"kind": "evaluation", "update": 0, "episodes": [{"success": False}, {"success": True}]},
        {"kind": "episode"},
        {"kind": "evaluation", "update": 2, "episodes": [{"success": True}, {"success": True}]},
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in events))
    assert points(tmp_path) == [
        {"update": 0, "env_steps": 0, "successes": 1, "episodes": 2},
        {"update": 2, "env_steps": 60, "successes": 2, "episodes": 2},
    ]
    assert practice(tmp_path) == [
        {"env_steps": 60, "success": 0.5, "episodes": 1},
        {"env_steps": 120, "success": 0.5, "episodes": 2},
    ]


def test_the_table_pools_seeds_and_compares_with_the_full_method() -> None:
    def point(update: int, successes: int) -> dict:
        return {"update": update, "successes": successes, "episodes": 40}

    rows = [
        {"variant": "full", "seed": 0, "points": [point(0, 16), point(27, 26)]},
        {"variant": "no_curriculum", "seed": 0, "points": [point(27, 20)]},
        {"variant": "full", "seed": 1, "points": [point(0, 20), point(27, 30)]},
        {"variant": "no_curriculum", "seed": 1, "points": [point(27, 28)]},
    ]
    assert table(rows)[2:] == [
        "| start | 40, 50 | 36 of 80, 45 % (35-56) | -25 (-39 to -10) |",
        "| full | 65, 75 | 56 of 80, 70 % (59-79) |  |",
        "| no_curriculum | 50, 70 | 48 of 80, 60 % (49-70) | -10 (-24 to +5) |",
    ]
    assert table(rows[1:2])[2:] == ["| no_curriculum | 50 | 20 of 40, 50 % (35-65) |  |"]
