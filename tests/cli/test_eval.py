"""`vlarl eval` as a user runs it: real engine, real LIBERO on primitive assets."""

import json
from pathlib import Path
from typing import Any

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


def evaluate(checkpoint: Path, out: Path, *options: str) -> dict[str, Any]:
    """What `results.json` says of the suite."""
    words = ["eval", str(checkpoint), "--tasks", "0", "--assets", "primitive", "--out", str(out)]
    assert main([*words, *options]) == 0
    found = json.loads((out / "results.json").read_text())
    return found["suites"]["libero_spatial"]


def test_an_evaluation_leaves_table_json_and_video(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(checkpoint, tmp_path, "--episodes", "1", "--videos", "1")
    assert "95 % interval" in capsys.readouterr().out
    (episode,) = found["episodes"]
    assert episode["start"] == "libero_spatial/0/published-0"
    assert (tmp_path / episode["video"]).stat().st_size > 1000
    assert found["overall"]["episodes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", [(), ("--sample", "1.0")])
def test_evaluations_repeat_themselves(checkpoint: Path, tmp_path: Path, mode: tuple[str, ...]) -> None:
    """The same checkpoint and seed, twice: the same episodes to the last step."""
    options = ("--episodes", "3", "--envs", "2", *mode)
    first, second = (evaluate(checkpoint, tmp_path / name, *options) for name in ("first", "second"))
    assert first == second


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
