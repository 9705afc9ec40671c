"""`vlarl eval` as a user runs it: real engine, real LIBERO on primitive assets."""

import json
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


def test_evaluation_repeats_itself(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same checkpoint and seed, twice: the same episodes to the last step; a table, JSON and a video."""
    results = []
    for attempt in ("first", "second"):
        out = tmp_path / attempt
        words = ["eval", str(checkpoint), "--tasks", "0", "--episodes", "2", "--envs", "2", "--sample", "1.0"]
        assert main([*words, "--videos", "1", "--out", str(out), "--assets", "primitive"]) == 0
        assert "95 % interval" in capsys.readouterr().out
        found = json.loads((out / "results.json").read_text())["suites"]
        assert (out / found["libero_spatial"]["episodes"][0]["video"]).stat().st_size > 1000
        results.append(found)
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
