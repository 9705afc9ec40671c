"""Metrics and events: whole lines, readable after a kill, cut back on resume."""

import json
import subprocess
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.metrics import MetricsWriter, read_lines


def test_scalars_and_events_come_back(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.scalars(1, {"rollout/success": 0.5, "learner/kl": float("nan")})
    writer.event("fault", fault="replica")
    writer.close()
    (line,) = read_lines(tmp_path / "metrics.jsonl")
    assert (line["update"], line["rollout/success"], line["learner/kl"]) == (1, 0.5, None)
    (event,) = read_lines(tmp_path / "events.jsonl")
    assert (event["kind"], event["fault"]) == ("fault", "replica")


def test_tensorboard_shows_the_same_scalars(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for update in (1, 2):
        writer.scalars(update, {"rollout/success": update / 4})
    writer.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("rollout/success")] == [(1, 0.25), (2, 0.5)]


def test_a_run_that_is_taken_up_again_forgets_later_updates_and_half_lines(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    for update in (1, 2, 3):
        writer.scalars(update, {"x": update})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4, "x"')  # killed while writing
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"kind":')
    writer = MetricsWriter(tmp_path)
    writer.rewind(2)
    writer.scalars(3, {"x": 30})
    writer.event("resumed")
    writer.close()
    assert [(line["update"], line["x"]) for line in read_lines(tmp_path / "metrics.jsonl")] == [
        (1, 1),
        (2, 2),
        (3, 30),
    ]
    assert [json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [
        "resumed"
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in board.Scalars("x")] == [(1, 1.0), (2, 2.0), (3, 30.0)]


FULL_DISK = """
import resource, sys
from pathlib import Path
from core.metrics import MetricsWriter
writer = MetricsWriter(Path(sys.argv[1]))
writer.scalars(1, {"a": 1.0})
size = (Path(sys.argv[1]) / "metrics.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
writer.scalars(2, {"a": 2.0})
writer.event("odd", text="x" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.scalars(3, {"a": 3.0})
writer.event("ended")
writer.close()
"""


def test_a_full_disk_costs_lines_but_neither_tears_one_nor_ends_the_run(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: a write stops in the middle of a line."""
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert [line["update"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 3]
    assert [line["kind"] for line in read_lines(tmp_path / "events.jsonl")] == ["ended"]
    assert result.stdout.count("is full") == 1


REWOUND_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from core.metrics import MetricsWriter
writer = MetricsWriter(Path(sys.argv[1]))
for update in (1, 2, 3):
    writer.scalars(update, {"a": 1.0})
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
writer.rewind(2)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.scalars(3, {"a": 30.0})
writer.close()
"""


def test_a_run_is_taken_up_again_on_a_full_disk_too(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", REWOUND_ON_A_FULL_DISK, str(tmp_path)], check=True)
    lines = read_lines(tmp_path / "metrics.jsonl")
    assert [(line["update"], line["a"]) for line in lines] == [(1, 1.0), (2, 1.0), (3, 30.0)]
    assert not list(tmp_path.glob("*.tmp"))


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    writer.event("episode", outcome={"return": float("nan"), "steps": [1.0, float("inf")]})
    writer.close()
    (line,) = read_lines(tmp_path / "events.jsonl")
    assert line["outcome"] == {"return": None, "steps": [1.0, None]}
