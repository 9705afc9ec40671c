"""The table of what is left of a gain where training never was."""

from pathlib import Path

from core import settings
from core.runfolder import RunFolder
from experiments.generalise import policies, table
from experiments.rows import BASE


def test_a_run_is_judged_with_the_settings_it_was_made_with(tmp_path: Path) -> None:
    words = [f"run.runs_dir={tmp_path}", "run.name=demo", "run.seed=2", "env.tasks=[3]"]
    run = RunFolder.create(settings.load(BASE, words)).path
    before = ["demo/policy", "--suite", "libero_spatial", "--tasks", "3", "--sample", "0.5"]
    adapter = str(run / "checkpoints" / "last" / "adapter")
    assert list(policies([run])) == [
        ("before", before),
        ("after, seed 2", [*before, "--adapter", adapter]),
    ]


def test_seeds_are_pooled_and_differences_have_newcombe_s_interval() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80 differ by 0.2 (0.0524 to 0.3339).
    rows = [
        {"policy": "before", "shift": "camera", "successes": 48, "episodes": 80},
        {"policy": "after, seed 0", "shift": "camera", "successes": 26, "episodes": 35},
        {"policy": "after, seed 1", "shift": "camera", "successes": 30, "episodes": 35},
        {"policy": "before", "shift": "light", "successes": 1, "episodes": 80},
    ]
    (line,) = table(rows)[2:]
    assert line == "| camera | 48 of 80, 60 % (49-70) | 56 of 70, 80 % (69-88) | +20 (+5 to +33) |"
