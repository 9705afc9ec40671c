"""`vlarl eval` as a user runs it: real engine, real LIBERO on primitive assets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from policy.presets import make_tiny

STATISTICS = {
    "libero_spatial": {
        "action": {"q01": [-0.5] * 6 + [0], "q99": [0.5] * 6 + [1], "mask": [True] * 6 + [False]}
    }
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval") / "tiny"
    make_tiny(folder, "tiny")
    (folder / "dataset_statistics.json").write_text(json.dumps(STATISTICS))
    return folder


def test_evaluation_repeats_itself(checkpoint: Path, tmp_path: Path) -> None:
    """Same checkpoint and seed, twice: the same episodes to the last step; a table, JSON and a video."""
    results = []
    for attempt in ("first", "second"):
        out = tmp_path / attempt
        words = [sys.executable, "-m", "cli.main", "eval", str(checkpoint), "--tasks", "0", "--episodes", "2"]
        options = [
            "--envs",
            "2",
            "--videos",
            "1",
            "--out",
            str(out),
            "--assets",
            "primitive",
            "--sample",
            "1.0",
        ]
        done = subprocess.run([*words, *options], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "95 % interval" in done.stdout
        found = json.loads((out / "results.json").read_text())
        assert (out / found["suites"]["libero_spatial"]["episodes"][0]["video"]).stat().st_size > 1000
        results.append(found["suites"])
    assert results[0] == results[1]
    assert results[0]["libero_spatial"]["overall"]["episodes"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "neither a folder nor a model"),
        (["CHECKPOINT", "--suite", "libero_special"], "libero_spatial"),
        (["CHECKPOINT", "--tasks", "10"], "0 to 9"),
        (["CHECKPOINT", "--videos", "1"], "--out"),
        (["CHECKPOINT", "--episodes", "51"], "50"),
    ],
)
def test_mistakes_are_named(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["eval", *(word.replace("CHECKPOINT", str(checkpoint)) for word in words)]) == 2
    assert message in capsys.readouterr().err
