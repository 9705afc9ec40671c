"""What a run survives without any process dying: a full disk, an adapter that is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.publishing import WeightsError
from core.metrics import read_lines
from learner.checkpoint import list_checkpoints, write_checkpoint
from tests.cluster.fakes import FakeLearner
from tests.cluster.harness import Harness

FULL = OSError(28, "No space left on device")


class LearnerOnFullDisk(FakeLearner):
    """Its second and third checkpoint find no room."""

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        if self.number in (2, 3):
            raise FULL
        super().save(root, extra, keep=keep)


def test_a_full_disk_costs_checkpoints_and_is_said(tmp_path: Path) -> None:
    words = ["run.num_updates=5", "run.checkpoint_every=1"]
    harness = Harness(tmp_path, words, learner=LearnerOnFullDisk())
    assert harness.controller.run()
    assert [number for number, _ in harness.learner.saved] == [1, 4, 5]
    failed = [e for e in read_lines(tmp_path / "events.jsonl") if e["kind"] == "checkpoint_failed"]
    assert [event["update"] for event in failed] == [2, 3]
    assert "No space left" in failed[0]["reason"]


def test_a_run_does_not_end_well_without_its_last_checkpoint(tmp_path: Path) -> None:
    harness = Harness(tmp_path, ["run.num_updates=2", "run.checkpoint_every=0"], learner=LearnerOnFullDisk())
    with pytest.raises(OSError, match="No space left"):
        harness.controller.run()


def test_a_checkpoint_that_found_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("written")
        raise FULL

    write_checkpoint(tmp_path, 1, lambda folder: None, keep=3)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, 2, write, keep=3)
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["000001"]
    assert {path.name for path in tmp_path.iterdir()} == {"000001", "last"}


def refuse(harness: Harness, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas refuse so many pushes after the first, as engines do with NaN."""
    accept, left = harness.replicas.publish, [times]

    def publish(adapter: int) -> None:
        if adapter > 0 and left[0]:
            left[0] -= 1
            raise ValueError("lora_A holds NaN or infinity; adapter 1 is refused")
        accept(adapter)

    monkeypatch.setattr(harness.replicas, "publish", publish)


def test_a_bad_copy_of_the_adapter_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path, ["run.num_updates=2"])
    refuse(harness, 1, monkeypatch)
    assert harness.controller.run()
    lines = list(read_lines(tmp_path / "metrics.jsonl"))
    assert [line["weights/refused"] for line in lines] == [1.0, 0.0]


def test_a_replica_that_answers_with_nan_is_found_whichever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest of a number and NaN is the number, if they are asked in that order."""
    harness = Harness(tmp_path, ["run.num_updates=2"])
    probe = harness.replicas.probe

    def with_a_broken_one(observations: list[Any]) -> list[Any]:
        (sound,) = probe(observations)
        broken = [replace(decision, logprobs=decision.logprobs * np.nan) for decision in sound]
        return [sound, broken]

    monkeypatch.setattr(harness.replicas, "probe", with_a_broken_one)
    with pytest.raises(WeightsError, match="data of another policy"):
        harness.controller.run()


def test_bad_weights_end_the_run_before_they_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(tmp_path, ["run.num_updates=2", "run.checkpoint_every=1"])
    refuse(harness, 100, monkeypatch)
    with pytest.raises(WeightsError, match=r"smaller learner\.lr"):
        harness.controller.run()
    assert harness.learner.saved == []
