"""What is read from a run folder: while it is written, when it is cut, and when it is not ours."""

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest

from dashboard.lines import BLOCK_BYTES, Tail
from dashboard.metrics import MetricHistory
from dashboard.run import Run
from dashboard.series import NUM_BUCKETS, Series
from dashboard.snapshot import snapshot
from tests.dashboard.fuzz import odd_line
from tests.dashboard.synthetic import Story, SyntheticRun

SMALL = Story(num_updates=10, num_episodes=40, num_tasks=2, video_every=0)


def read(tail: Tail) -> list[dict[str, object]]:
    return [line for block in tail.blocks() for line in block]


def test_only_whole_lines_are_read_and_each_once(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    tail = Tail(tmp_path, "x.jsonl")
    assert read(tail) == []
    file.write_text('{"a": 1}\n{"a": 2')
    assert read(tail) == [{"a": 1}]
    with file.open("a") as stream:
        stream.write("3}\n")
    assert read(tail) == [{"a": 23}]
    assert read(tail) == []


def test_foreign_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'\xff\xfe\n[1]\n{"a": 1}\n' + b"[" * 100_000 + b"\n\nnull\n")
    tail = Tail(tmp_path, "x.jsonl")
    assert read(tail) == [{"a": 1}]
    assert tail.num_unreadable == 4


def test_a_line_longer_than_a_block_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"x" * (BLOCK_BYTES + 10) + b'\n{"a": 1}\n')
    tail = Tail(tmp_path, "x.jsonl")
    assert read(tail) == [{"a": 1}]
    assert tail.num_unreadable > 0


def test_a_file_that_was_cut_or_replaced_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\n')
    tail = Tail(tmp_path, "x.jsonl")
    assert not tail.was_replaced()
    assert len(read(tail)) == 2
    file.write_text('{"a": 3}\n')  # cut
    assert tail.was_replaced()
    assert read(tail) == [{"a": 3}]
    (tmp_path / "y").write_text('{"a": 4}\n{"a": 5}\n')
    (tmp_path / "y").replace(file)
    assert tail.was_replaced()
    assert read(tail) == [{"a": 4}, {"a": 5}]
    assert not tail.was_replaced()


def test_a_link_that_leads_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "x.jsonl").symlink_to(tmp_path / "outside.jsonl")
    assert read(Tail(tmp_path / "run", "x.jsonl")) == []


def test_a_series_means_what_was_put_in() -> None:
    series = Series()
    series.extend(np.array([0, 0, 3]), np.array([1.0, 3.0, 8.0]))
    points = series.points(10)
    assert points.update.tolist() == [0, 3]
    assert points.mean.tolist() == [2.0, 8.0]
    assert (points.low.tolist(), points.high.tolist()) == ([1.0, 8.0], [3.0, 8.0])
    assert points.mean_error.tolist() == [pytest.approx(np.sqrt(1.0 / 2)), 0.0]  # variance 1 of two values


def test_a_long_series_keeps_its_sums_in_constant_memory() -> None:
    rng = np.random.default_rng(0)
    updates, values = rng.permutation(50_000), rng.normal(size=50_000)
    series = Series()
    for part in np.split(np.arange(50_000), 50):
        series.extend(updates[part], values[part])
    points = series.points(300)
    assert series.width == 64  # the smallest power of two with 50,000 / 64 <= 1,024
    assert len(points.update) <= 300
    assert points.count.sum() == 50_000
    assert points.total.sum() == pytest.approx(values.sum())
    assert (points.low.min(), points.high.max()) == (values.min(), values.max())
    first = values[updates < points.update[1]]
    assert points.mean[0] == pytest.approx(first.mean())


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    series = Series()
    series.extend(np.array([1, 2, 3]), np.array([1.0, np.nan, np.inf]))
    assert series.points(NUM_BUCKETS).update.tolist() == [1]


def test_metrics_of_a_foreign_file_do_not_grow_without_bound() -> None:
    history = MetricHistory()
    history.take([{"update": 1, **{f"name{n}": n for n in range(5000)}}])
    assert len(history.series) == 600
    history.take([{"update": "x"}, {"update": 1.5}, {"update": -1}, {"update": 10**12}, {}])
    assert history.num_foreign == 5


def test_a_run_is_counted_as_its_events_say(tmp_path: Path) -> None:
    SyntheticRun(tmp_path / "run", SMALL).write()
    run = Run(tmp_path / "run")
    assert run.refresh()
    assert not run.refresh()
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    episodes = [event for event in events if event["kind"] == "episode"]
    page = snapshot(run, SMALL.now)
    cells = np.array(page["practice"]["cells"])
    assert cells.sum(axis=(0, 1)).tolist() == [sum(e["success"] for e in episodes), len(episodes)]
    evaluation = next(event for event in events if event["kind"] == "evaluation")
    k = sum(episode["success"] for episode in evaluation["episodes"])
    assert page["learning"]["evaluations"][0]["total"][:2] == [k, 20]
    assert page["run"]["state"] == "complete"
    assert page["notes"] == []


def test_what_happened_at_no_time_is_passed_over(tmp_path: Path) -> None:
    """A page with a number that is none could not be read by a browser."""
    synthetic = SyntheticRun(tmp_path / "run", SMALL).write()
    for when in (None, "now", 1e300):
        event = synthetic.event(1, "fault", fault="replica", reason="killed", count=1)
        synthetic.append("events.jsonl", event | {"time": when})
    run = Run(tmp_path / "run")
    run.refresh()
    assert run.events.num_foreign == 3
    assert not run.events.faults
    json.dumps(snapshot(run, SMALL.now), allow_nan=False)


def test_evaluations_say_how_they_were_made(tmp_path: Path) -> None:
    synthetic = SyntheticRun(tmp_path / "run", SMALL).write()
    synthetic.append("events.jsonl", synthetic.evaluation(100) | {"greedy": False})
    run = Run(tmp_path / "run")
    run.refresh()
    page = snapshot(run, SMALL.now)["learning"]
    assert [found["greedy"] for found in page["evaluations"]] == [True, True, False]
    assert "judged sampled as in training" in page["answer"]


def test_a_run_that_is_followed_anew_looks_changed(tmp_path: Path) -> None:
    """Pages that stayed open while the server was started again fetch what has a higher number."""
    SyntheticRun(tmp_path / "run", SMALL).write()
    before = Run(tmp_path / "run")
    before.refresh()
    time.sleep(0.005)
    assert Run(tmp_path / "run").revision > before.revision


def test_a_run_that_went_back_to_a_checkpoint_shows_each_update_once(tmp_path: Path) -> None:
    synthetic = SyntheticRun(tmp_path / "run", SMALL).write()
    run = Run(tmp_path / "run")
    run.refresh()
    file = tmp_path / "run" / "metrics.jsonl"
    kept = file.read_text().splitlines(keepends=True)[:4]
    file.with_name("tmp").write_text("".join(kept))
    file.with_name("tmp").replace(file)
    synthetic.append("metrics.jsonl", {**synthetic.scalars(5), "learner/kl": 7.0})
    assert run.refresh()
    points = run.metrics.series["learner/kl"].points(NUM_BUCKETS)
    assert points.update.tolist() == [1, 2, 3, 4, 5]
    assert points.mean[-1] == 7.0


def test_a_long_run_is_read_piece_by_piece(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    line = json.dumps({"update": 1, "learner/kl": 1.0, "filler": "x" * 1000}) + "\n"
    (tmp_path / "metrics.jsonl").write_text(line * 4000)  # four blocks
    run = Run(tmp_path)
    assert run.refresh(limit_s=0.0)
    assert run.is_behind
    assert any(note.startswith("still reading metrics.jsonl, 2") for note in run.notes())
    while run.refresh(limit_s=0.0):
        pass
    assert not run.is_behind
    assert run.metrics.series["learner/kl"].points(1).count.sum() == 4000


def test_lines_of_any_kind_never_break_a_page(tmp_path: Path) -> None:
    rng = random.Random(0)
    SyntheticRun(tmp_path / "run", SMALL).write()
    run = Run(tmp_path / "run")
    for _ in range(40):
        for name in ("events.jsonl", "metrics.jsonl"):
            with (tmp_path / "run" / name).open("ab") as file:
                file.writelines(odd_line(rng) for _ in range(20))
        run.refresh()
        json.dumps(snapshot(run, SMALL.now), allow_nan=False).encode()
    assert any("could not be understood" in note for note in run.notes())
    assert run.metrics.series["learner/kl"].points(NUM_BUCKETS).count.sum() >= 10  # what was sound is kept


def test_a_folder_without_anything_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- just\n- a list\n")
    run = Run(tmp_path)
    assert not run.refresh()
    page = snapshot(run, 0.0)
    assert page["notes"] == [
        "config.yaml holds no settings",
        "events.jsonl is not there (yet)",
        "metrics.jsonl is not there (yet)",
    ]
    assert "Too early" in page["learning"]["answer"]
