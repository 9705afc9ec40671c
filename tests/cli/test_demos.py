"""`vlarl demos`: the four commands after one another on one recording."""

from pathlib import Path

import pytest

from cli.main import main


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demos")
    options = ["--tasks", "0", "--episodes", "1", "--size", "32", "--assets", "primitive", "--processes", "1"]
    assert main(["demos", "record", "--suite", "libero_spatial", *options, "--out", str(folder)]) == 0
    return next(folder.rglob("*_demo.hdf5"))


def test_check_info_and_video(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demos", "check", str(recorded)]) == 0
    assert "solved, states within 0.0e+00, as recorded" in capsys.readouterr().out
    assert main(["demos", "info", str(recorded)]) == 0
    assert "1 episodes, 1 solved" in capsys.readouterr().out
    assert main(["demos", "video", str(recorded), "--out", str(tmp_path / "a.mp4")]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 1000


def test_wrong_input_is_one_line(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demos", "video", str(recorded), "--episode", "7", "--out", str(tmp_path / "a.mp4")]) == 2
    assert "has episodes 0 to 0, got 7" in capsys.readouterr().err
    assert main(["demos", "check", str(tmp_path / "none.hdf5")]) == 2
    assert "There is no demonstration file" in capsys.readouterr().err
    assert main(["demos", "record", "--suite", "libero", "--out", str(tmp_path)]) == 2
    assert "Unknown suite" in capsys.readouterr().err
