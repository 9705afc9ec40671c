"""What the comparison of settings reads from run folders, and the table it makes of it."""

import json
from pathlib import Path

from experiments.compare import table
from experiments.rows import points


def test_evaluations_are_placed_at_the_steps_that_led_to_them(tmp_path: Path) -> None:
    updates = [
        {"update": number, "rollout/env_steps_per_s": 10.0 * number, "time/interval_s": 2.0}
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


def test_the_table_pools_successes_and_names_every_seed_s_gain() -> None:
    def row(before: int, after: int) -> dict:
        return {"points": [{"successes": number, "episodes": 10} for number in (before, after)]}

    assert table({"full": [row(4, 6), row(5, 4)]})[2:] == [
        "| full | 2 | 9 of 20, 45 % (26-66) | 10 of 20, 50 % (30-70) | +20, -10 |"
    ]
