"""The table of what is left of a gain where training never was."""

import shlex
from pathlib import Path

import pytest

from core import settings
from core.runfolder import RunFolder
from experiments.generalise import by_start, policies, table
from experiments.rows import BASE, Row


def test_a_run_is_judged_with_the_settings_it_was_made_with(tmp_path: Path) -> None:
    words = [f"run.runs_dir={tmp_path}", "run.name=demo", "env.tasks=[3]", "env.assets=libero"]
    run = RunFolder.create(settings.load(BASE, words))
    (run.checkpoints / "000007").mkdir()
    (run.checkpoints / "last").symlink_to("000007")
    found = policies([run.path], 30)
    scene = "--suite libero_spatial --tasks 3 --assets libero --render fast"
    assert found[""] == f"demo/policy {scene} --sample 0.5 --episodes 30"
    before, adapter = found["demo"].split(" --adapter ")
    assert before == found[""]
    assert Path(adapter).resolve() == run.checkpoints / "000007" / "adapter"


def test_all_tasks_and_names_with_blanks_are_words_of_the_command_too(tmp_path: Path) -> None:
    words = [f"run.runs_dir={tmp_path}", "run.name=my run", "env.tasks=[]"]
    run = RunFolder.create(settings.load(BASE, words))
    found = policies([run.path], 30)
    assert "--tasks" not in found[""]
    assert Path(shlex.split(found["my run"])[-1]).resolve() == run.checkpoints / "last" / "adapter"


def test_runs_that_began_otherwise_are_not_pooled(tmp_path: Path) -> None:
    runs = [
        RunFolder.create(settings.load(BASE, [f"run.runs_dir={tmp_path}", f"run.name={name}", word])).path
        for name, word in (("a", "env.tasks=[3]"), ("b", "env.tasks=[4]"))
    ]
    with pytest.raises(ValueError, match="began otherwise"):
        policies(runs, 30)


def test_what_was_judged_otherwise_has_a_table_of_its_own() -> None:
    def row(episodes: int, adapter: str) -> Row:
        return {
            "run": adapter,
            "judged": f"policy --episodes {episodes}{adapter and f' --adapter {adapter}'}",
        }

    rows = [row(30, ""), row(30, "a"), row(40, ""), row(30, "b"), row(40, "b")]
    assert by_start(rows) == {
        "policy --episodes 30": [rows[0], rows[1], rows[3]],
        "policy --episodes 40": [rows[2], rows[4]],
    }


def test_seeds_are_pooled_and_differences_have_newcombe_s_interval() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80 differ by 0.2 (0.0524 to 0.3339).
    rows = [
        {"run": "", "shift": "camera", "successes": 48, "episodes": 80},
        {"run": "seed-0", "shift": "camera", "successes": 26, "episodes": 35},
        {"run": "seed-1", "shift": "camera", "successes": 30, "episodes": 35},
        {"run": "", "shift": "light", "successes": 1, "episodes": 80},
    ]
    (line,) = table(rows)[2:]
    assert line == "| camera | 48 of 80, 60 % (49-70) | 56 of 70, 80 % (69-88) | +20 (+5 to +33) |"
