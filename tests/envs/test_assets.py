"""Three ways to get assets, and what is said when one of them does not work."""

from pathlib import Path

import pytest

from core.types import TaskId
from envs import assets
from envs.assets import PARTS, resolve_assets
from envs.environment import LiberoEnv
from envs.suites import task


def complete(folder: Path) -> Path:
    for part in PARTS:
        (folder / part).mkdir(parents=True)
    return folder


def test_auto_is_the_folder_of_the_environment_else_primitive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, primitive: Path
) -> None:
    monkeypatch.setenv("LIBERO_ASSETS", str(complete(tmp_path / "mine")))
    assert resolve_assets() == tmp_path / "mine"
    monkeypatch.delenv("LIBERO_ASSETS")
    assert resolve_assets() == primitive


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist; allowed are auto, primitive, libero"):
        resolve_assets(str(tmp_path / "nowhere"))


def test_missing_parts_are_named(tmp_path: Path) -> None:
    complete(tmp_path)
    (tmp_path / "scenes").rmdir()
    (tmp_path / "textures").rmdir()
    with pytest.raises(ValueError, match="lacks scenes, textures"):
        resolve_assets(str(tmp_path))


def test_missing_files_are_found_when_a_task_is_built(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"libero_object/0 cannot be built from the assets in .*No such file"
    ):
        LiberoEnv(task(TaskId(suite="libero_object", index=0)), assets=complete(tmp_path), render=None)


def test_without_a_hub_there_is_one_error_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VLARL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"could not be fetched from the model hub.*assets=primitive"):
        resolve_assets("libero")
    assert list((tmp_path / "cache" / "assets").iterdir()) == []


def test_two_processes_may_fetch_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one takes what the other put there meanwhile."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VLARL_CACHE", str(tmp_path / "cache"))
    ours = tmp_path / "cache" / "assets" / "libero"

    def download(folder: Path) -> None:
        complete(folder)
        if not ours.is_dir():
            monkeypatch.setattr(assets, "_download", complete)
            assert resolve_assets("libero") == ours

    monkeypatch.setattr(assets, "_download", download)
    assert resolve_assets("libero") == ours
    assert list(ours.parent.iterdir()) == [ours]
