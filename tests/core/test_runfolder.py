"""Run folders: made once, never written over, opened again."""

import os
from pathlib import Path

import pytest

from core import settings
from core.config import Config
from core.runfolder import RunFolder


def config_in(tmp_path: Path) -> Config:
    return settings.load(None, [f"run.runs_dir={tmp_path}", "run.name=one"])


def test_a_new_folder_holds_the_resolved_settings(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    assert folder.path == tmp_path / "one"
    assert RunFolder.open(folder.path).load_config(["learner.lr=1e-6"]).learner.lr == 1e-6


def test_an_existing_folder_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    RunFolder.create(config_in(tmp_path))
    with pytest.raises(ValueError, match="exists already") as refusal:
        RunFolder.create(config_in(tmp_path))
    assert all(way in str(refusal.value) for way in ("--resume", "run.name=one-2", "rm -r"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config\.yaml"):
        RunFolder.open(tmp_path)


def test_a_folder_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    with folder.held():
        with (
            pytest.raises(ValueError, match=f"trained by process {os.getpid()} on") as refusal,
            folder.held(),
        ):
            pass
        assert "SIGTERM" in str(refusal.value)
    with folder.held():  # free again
        pass


def test_a_start_that_failed_leaves_nothing_but_a_run_that_began_stays(tmp_path: Path) -> None:
    folder = RunFolder.create(config_in(tmp_path))
    folder.discard_if_unused()
    assert not folder.path.exists()
    folder = RunFolder.create(config_in(tmp_path))
    (folder.path / "events.jsonl").write_text("{}\n")
    folder.discard_if_unused()
    assert folder.path.exists()
