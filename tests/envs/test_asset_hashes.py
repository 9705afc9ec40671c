"""Fetched assets are what was fetched, or are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from envs.asset_hashes import LIST, check_hashes, write_hashes


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes/table with a space.xml").write_text("<mujoco/>")
    (tmp_path / "mesh.obj").write_bytes(b"v 0 0 0")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/note").write_text("the hub client's own")
    write_hashes(tmp_path)
    return tmp_path


def test_what_was_fetched_passes_whatever_the_hub_client_notes(fetched: Path) -> None:
    (fetched / ".cache/note").write_text("something else")
    check_hashes(fetched)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda folder: (folder / "mesh.obj").write_bytes(b"v 0 0 1"), r"mesh\.obj"),
        (lambda folder: (folder / "mesh.obj").unlink(), r"mesh\.obj"),
        (lambda folder: (folder / "scenes/new.xml").write_text("<mujoco/>"), r"scenes/new\.xml"),
    ],
)
def test_what_changed_since_is_named(fetched: Path, change: Callable[[Path], object], first: str) -> None:
    change(fetched)
    with pytest.raises(ValueError, match=f"1 files differ, first {first}"):
        check_hashes(fetched)


def test_a_folder_without_hashes_is_refused(fetched: Path) -> None:
    (fetched / LIST).unlink()
    with pytest.raises(ValueError, match="no list of hashes"):
        check_hashes(fetched)
