"""Demonstrations: recorded, read back, replayed; LIBERO's layout; damage is named, nothing half-written."""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import psutil
import pytest

from core.types import Start, TaskId
from envs.demo_recording import (
    STEPS_AFTER_SUCCESS,
    Recording,
    _wanted,
    record,
    record_episode,
    replay,
    worker_pool,
)
from envs.demos import Demo, DemoFile, DemoWriter, demo_path
from envs.suites import task

RECORDING = Recording(
    suite="libero_spatial",
    task=0,
    assets="primitive",
    episodes=2,
    noise=0.3,
    size=64,
    source="fresh",
    first=5,
    keep_failures=False,
)
TASK = TaskId(suite="libero_spatial", index=0)
VLARL = "from cli.main import main; raise SystemExit(main())"


@pytest.fixture(scope="module")
def demo() -> Demo:
    return record_episode(RECORDING, RECORDING.start(0))


def write(path: Path, demo: Demo) -> Path:
    with DemoWriter(path, task(TASK), {"suite": "libero_spatial", "task": 0}) as writer:
        writer.add(demo)
    return path


def test_an_episode_has_a_sample_per_step_and_goes_on_after_success(demo: Demo) -> None:
    assert demo.success
    assert demo.num_samples == demo.num_steps + STEPS_AFTER_SUCCESS
    assert demo.frames.shape == (demo.num_samples, 64, 64, 3)
    assert len(demo.phases) == len(demo.states) == demo.num_samples
    assert np.abs(demo.actions - demo.clean_actions).max() > 0


def test_reading_gives_what_was_written(demo: Demo, tmp_path: Path) -> None:
    with DemoFile(write(tmp_path / "a.hdf5", demo)) as demos:
        assert len(demos) == 1
        assert demos.instruction == task(TASK).instruction
        read = demos[0]
    for name in ("frames", "actions", "clean_actions", "states", "end_effector", "gripper", "joints"):
        np.testing.assert_array_equal(getattr(read, name), getattr(demo, name), err_msg=name)
    assert (read.phases, read.success, read.num_steps) == (demo.phases, True, demo.num_steps)
    assert read.start == demo.start


def test_a_replay_repeats_success_and_every_state(demo: Demo, primitive: Path) -> None:
    success, difference = replay(demo, primitive)
    assert success
    assert difference == 0


def test_the_file_has_the_layout_of_libero(demo: Demo, tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.hdf5", demo)) as file:
        data, group = file["data"], file["data/demo_0"]
        assert data.attrs["num_demos"] == 1
        assert data.attrs["total"] == group.attrs["num_samples"] == demo.num_samples
        assert json.loads(data.attrs["problem_info"])["language_instruction"] == task(TASK).instruction
        assert json.loads(data.attrs["env_args"])["bddl_file"] == data.attrs["bddl_file_name"]
        np.testing.assert_array_equal(group.attrs["init_state"], group["states"][0])
        np.testing.assert_array_equal(group["obs/agentview_rgb"][3], demo.frames[3, ::-1, ::-1])
        np.testing.assert_array_equal(
            np.hstack([group["obs/ee_pos"], group["obs/ee_ori"]]), group["obs/ee_states"]
        )
        assert group["robot_states"].shape == (demo.num_samples, 9)
        np.testing.assert_allclose(np.linalg.norm(group["robot_states"][:, 5:], axis=1), 1)
        assert (
            group["dones"][:].tolist() == group["rewards"][:].tolist() == [0] * (demo.num_samples - 1) + [1]
        )


def test_published_files_are_read_without_our_own_fields(demo: Demo, tmp_path: Path, primitive: Path) -> None:
    path = write(tmp_path / "a.hdf5", demo)
    with h5py.File(path, "r+") as file:
        del file["data"].attrs["recording"]
        del file["data/demo_0/clean_actions"], file["data/demo_0/phases"]
        for name in ("success", "num_steps", "start_source", "start_number"):
            del file["data/demo_0"].attrs[name]
        # LIBERO's own scripts store the sentence as letters, in quotes.
        sentence = list(f'"{task(TASK).instruction}"')
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": sentence})
    with DemoFile(path) as demos:
        assert demos.instruction == task(TASK).instruction
        published = demos[0]
    np.testing.assert_array_equal(published.clean_actions, demo.actions)
    assert published.start is None
    with pytest.raises(ValueError, match="cannot be replayed"):
        replay(published, primitive)


@pytest.mark.parametrize("kept", [0, 100, 5000, 60000])
def test_a_truncated_file_is_one_clear_error(demo: Demo, tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "cut.hdf5", demo)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut\.hdf5 is damaged"):
        list(DemoFile(path))


def test_damaged_pictures_are_one_clear_error(demo: Demo, tmp_path: Path) -> None:
    path = write(tmp_path / "spoilt.hdf5", demo)
    with h5py.File(path) as file:
        pictures = file["data/demo_0/obs/agentview_rgb"].id
        chunk = pictures.get_chunk_info(4)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with pytest.raises(ValueError, match=r"spoilt\.hdf5 is damaged"):
        list(DemoFile(path))


def test_a_missing_file_and_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no demonstration file"):
        DemoFile(tmp_path / "none.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="damaged or no file of demonstrations"):
        DemoFile(tmp_path / "other.hdf5")


def test_nothing_stays_of_a_recording_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), DemoWriter(tmp_path / "a.hdf5", task(TASK), {}):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_published_starts_run_out_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the simulator is asked for one that does not exist, which would lose those already made."""

    def miss_one_in_ten(recording: Recording, begin: Start) -> Demo:
        assert 0 <= begin.number < 50
        return SimpleNamespace(success=begin.number % 10 != 0, start=begin)  # type: ignore[return-value]

    monkeypatch.setattr("envs.demo_recording.record_episode", miss_one_in_ten)
    published = dataclasses.replace(RECORDING, source="published", first=0, episodes=45)
    with ThreadPoolExecutor(1) as pool:
        assert len(list(_wanted(published, pool))) == 45  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="in 45 of 50 tries"):
            list(_wanted(dataclasses.replace(published, episodes=46), pool))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="20 episodes from published start 40 on"):
            list(_wanted(dataclasses.replace(published, episodes=20, first=40), pool))  # type: ignore[arg-type]


def test_recording_over_processes_repeats_itself_and_keeps_what_is_there(demo: Demo, tmp_path: Path) -> None:
    heard: list[Demo] = []
    with worker_pool(2) as pool:
        path, is_new = record(RECORDING, tmp_path, pool, heard.append)
        assert (path, is_new) == (demo_path(tmp_path, task(TASK)), True)
        assert record(RECORDING, tmp_path, pool, heard.append) == (path, False)
        other = Recording(**{**{f: getattr(RECORDING, f) for f in RECORDING.__slots__}, "noise": 0.0})
        with pytest.raises(ValueError, match="recorded otherwise"):
            record(other, tmp_path, pool, heard.append)
    assert len(heard) == RECORDING.episodes
    np.testing.assert_array_equal(heard[0].states, demo.states)
    np.testing.assert_array_equal(heard[0].frames, demo.frames)
    with DemoFile(path) as demos:
        assert [d.start for d in demos] == [RECORDING.start(0), RECORDING.start(1)]


def test_a_writer_removes_what_a_killed_one_left_but_nobody_elses(demo: Demo, tmp_path: Path) -> None:
    killed = tmp_path / ".a.hdf5.123.part"
    killed.write_bytes(b"half a file")
    with DemoWriter(tmp_path / "a.hdf5", task(TASK), {}) as first:
        assert not killed.exists()
        (partial,) = tmp_path.iterdir()
        beside = partial.rename(tmp_path / ".a.hdf5.456.part")
        with DemoWriter(tmp_path / "a.hdf5", task(TASK), {}):
            assert beside.exists()
        beside.rename(partial)
        first.add(demo)
    assert [path.name for path in tmp_path.iterdir()] == ["a.hdf5"]


def test_a_recording_killed_by_force_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", VLARL, "demos", "record", "--tasks", "0", "--processes", "2"]
    recording = subprocess.Popen([*command, "--out", str(tmp_path)], stdout=subprocess.DEVNULL)
    path = demo_path(tmp_path, task(TASK))
    children = psutil.Process(recording.pid).children
    wait_until(lambda: len(children()) == 3, timeout_s=120)  # two workers and Python's own tracker
    assert list(path.parent.glob(".*.part"))
    workers = children()
    recording.kill()
    recording.wait()
    wait_until(lambda: not psutil.wait_procs(workers, timeout=0.1)[1], timeout_s=20)
    assert not path.exists()
    DemoWriter(path, task(TASK), {}).discard()
    assert list(path.parent.iterdir()) == []


def wait_until(condition: Callable[[], object], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
