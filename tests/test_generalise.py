"""The table of what is left of a gain where training never was."""

import re
import shlex
from pathlib import Path

import pytest
from scipy.stats import t as students_t

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


def judged(run: str, shift: str, successes: int, episodes: int) -> Row:
    return {"run": run, "shift": shift, "successes": successes, "episodes": episodes}


def test_the_gain_of_one_run_has_newcombe_s_interval() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80 differ by 0.2 (0.0524 to 0.3339).
    rows = [judged("", "camera", 48, 80), judged("seed-0", "camera", 56, 70), judged("", "light", 1, 80)]
    (line,) = table(rows)[2:]
    assert line == "| camera | 48 of 80, 60 % (49-70) | 80 % | 80 | +20 (+5 to +33) |"


def test_the_gain_of_several_runs_counts_runs_where_they_differ_by_more_than_chance() -> None:
    """Before: mean 0.6, variance 0.24 * 80 / 79 over 80. After: mean 0.8, variance 0.02 over 2. Standard
    error (0.00304 + 0.01)^(1/2) = 0.1142, 0.1304^2 / (0.0304^2 / 79 + 0.1^2) = 1.70 degrees of freedom.
    """
    start = judged("", "camera", 48, 80)
    (apart,) = table([start, judged("a", "camera", 63, 90), judged("b", "camera", 81, 90)])[2:]
    assert apart.startswith("| camera | 48 of 80, 60 % (49-70) | 80 ± 14 % | 70, 90 | +20 (")
    low, high = (int(word) for word in re.findall(r"[+-]\d+", apart)[-2:])
    t = students_t.ppf(0.975, 1.70)
    assert (low, high) == pytest.approx((20 - 11.42 * t, 20 + 11.42 * t), abs=1)
    (alike,) = table([start, judged("a", "camera", 28, 35), judged("b", "camera", 28, 35)])[2:]
    assert alike == "| camera | 48 of 80, 60 % (49-70) | 80 ± 0 % | 80, 80 | +20 (+5 to +33) |"
