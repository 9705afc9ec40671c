"""The 130 tasks, their published states, and that nothing but the pinned package's own files is read."""

import pickle
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from core.types import TaskId
from envs import suites
from envs.suites import SUITES, published_starts, published_states, suite_tasks, task


def test_suites_have_their_tasks_and_limits() -> None:
    numbers = {suite: len(suite_tasks(suite)) for suite in SUITES}
    assert numbers == {
        "libero_spatial": 10,
        "libero_object": 10,
        "libero_goal": 10,
        "libero_10": 10,
        "libero_90": 90,
    }
    limits = [suite_tasks(suite)[0].max_steps for suite in SUITES]
    assert limits == [220, 280, 300, 520, 400]


def test_instructions_are_the_sentences_without_the_scene() -> None:
    assert task(TaskId(suite="libero_goal", index=7)).instruction == "turn on the stove"
    assert task(TaskId(suite="libero_10", index=8)).instruction == "put both moka pots on the stove"
    assert task(TaskId(suite="libero_90", index=0)).instruction == "close the top drawer of the cabinet"


@pytest.mark.parametrize("suite", SUITES)
def test_every_task_has_fifty_published_states(suite: str) -> None:
    for each in suite_tasks(suite):
        states = published_states(each)
        assert states.shape[0] == 50
        assert states.dtype == np.float64
        assert np.isfinite(states).all()
        assert (states[:, 0] == 0).all()  # time


def test_states_equal_what_torch_reads() -> None:
    torch = pytest.importorskip("torch")
    first = task(TaskId(suite="libero_goal", index=2))
    file = suites._verified(f"libero/libero/init_files/libero_goal/{first.name}.pruned_init")
    np.testing.assert_array_equal(published_states(first), torch.load(file, weights_only=False))


def test_published_states_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        published_states(task(TaskId(suite="libero_goal", index=0)))[0, 0] = 1.0


def test_unknown_suite_and_number_name_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"'libero_spacial'.*libero_spatial, libero_object"):
        suite_tasks("libero_spacial")
    with pytest.raises(ValueError, match="tasks 0 to 9, got task number 10"):
        task(TaskId(suite="libero_10", index=10))
    with pytest.raises(ValueError, match="got task number -1"):
        task(TaskId(suite="libero_10", index=-1))


def test_a_state_file_that_would_execute_something_is_refused() -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (eval, ("1 + 1",))

    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.eval"):
        suites._ArrayUnpickler(BytesIO(pickle.dumps(Harm()))).load()


def test_a_changed_task_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = dict(suites._package_files())
    path = next(path for path in files if path.endswith(".bddl"))
    changed = tmp_path / "changed.bddl"
    changed.write_bytes(files[path][0].read_bytes() + b" ")
    files[path] = (changed, files[path][1])
    monkeypatch.setattr(suites, "_package_files", lambda: files)
    with pytest.raises(ValueError, match="was changed after installation"):
        suites._verified(path)


@pytest.mark.parametrize("episodes", [0, 51])
def test_a_task_has_fifty_published_starts(episodes: int) -> None:
    with pytest.raises(ValueError, match="50 published"):
        published_starts(suite_tasks("libero_goal"), episodes)
