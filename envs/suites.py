"""LIBERO's five suites by name and number.

In: a suite name or a TaskId. Out: Task (instruction, task file, step limit) and its 50 published initial
states. LIBERO evaluates its task files and unpickles its states, so only files whose hashes are those of
the pinned package are touched, and states are read without executing anything. Neither LIBERO nor torch is
imported here.
"""

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import pickle
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.types import NUM_PUBLISHED_STATES, Start, StateSource, TaskId

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")

# Environment steps of the published numbers' protocol.
MAX_STEPS = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}

_DISTRIBUTION = "hf-libero"
_TASK_MAP = "libero/libero/benchmark/libero_suite_task_map.py"
# SHA-256 over "path hash" lines of every task file, state file and the task map of hf-libero 0.1.4.
_CONTENTS_SHA256 = "34f77462a93c5daad391120b14445eeaf6424fef9df3658060bf15ffe57b8f4a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a suite, as the simulator needs it."""

    id: TaskId
    name: str
    """LIBERO's file name of the task, without ending."""
    instruction: str
    bddl_file: Path
    max_steps: int
    """Environment steps after which an episode is truncated."""


def task(task_id: TaskId) -> Task:
    names = _task_names(task_id.suite)
    if not 0 <= task_id.index < len(names):
        raise ValueError(f"{task_id.suite} has tasks 0 to {len(names) - 1}, got task number {task_id.index}.")
    name = names[task_id.index]
    return Task(
        id=task_id,
        name=name,
        instruction=_instruction(name),
        bddl_file=_verified(f"libero/libero/bddl_files/{task_id.suite}/{name}.bddl"),
        max_steps=MAX_STEPS[task_id.suite],
    )


def suite_tasks(suite: str) -> list[Task]:
    return [task(TaskId(suite=suite, index=index)) for index in range(len(_task_names(suite)))]


def published_starts(tasks: Sequence[Task], episodes: int) -> list[Start]:
    """The first `episodes` published states of every task."""
    if not 1 <= episodes <= NUM_PUBLISHED_STATES:
        raise ValueError(f"episodes per task is 1 to {NUM_PUBLISHED_STATES} published states, got {episodes}")
    return [
        Start(task=task.id, source=StateSource.PUBLISHED, number=number)
        for task in tasks
        for number in range(episodes)
    ]


@cache
def published_states(task: Task) -> np.ndarray:
    """(50, S) float64: time, joint positions, joint velocities. For evaluation; read-only."""
    file = _verified(f"libero/libero/init_files/{task.id.suite}/{task.name}.pruned_init")
    with zipfile.ZipFile(file) as archive:
        states = _ArrayUnpickler(io.BytesIO(archive.read("archive/data.pkl"))).load()
    assert isinstance(states, np.ndarray)
    assert states.ndim == 2
    assert len(states) == NUM_PUBLISHED_STATES
    states.flags.writeable = False
    return states


class _ArrayUnpickler(pickle.Unpickler):
    """Reads a pickled NumPy array and refuses every other thing a pickle could ask for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        if (module, name) in {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"An initial state may not hold {module}.{name}.")


def _encode_latin1(text: str, encoding: str) -> bytes:
    assert encoding == "latin1"
    return text.encode(encoding)


def _instruction(name: str) -> str:
    """libero_90 and libero_10 put the scene before the sentence: KITCHEN_SCENE10_close_the_top_drawer."""
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", name).replace("_", " ")


@cache
def _task_names(suite: str) -> list[str]:
    if suite not in SUITES:
        raise ValueError(f"Unknown suite {suite!r}; known are {', '.join(SUITES)}.")
    spec = importlib.util.spec_from_file_location("libero_suite_task_map", _verified(_TASK_MAP))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.libero_task_map[suite]


def _verified(path: str) -> Path:
    """A file of the pinned package, after comparing its content with the package's record."""
    file, expected = _package_files()[path]
    digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
    if digest != expected:
        raise ValueError(f"{file} was changed after installation; reinstall {_DISTRIBUTION}.")
    return file


@cache
def _package_files() -> dict[str, tuple[Path, str]]:
    """Path inside the package to (file, hash on record), for everything read from it."""
    distribution = importlib.metadata.distribution(_DISTRIBUTION)
    files = {
        str(entry): (Path(str(entry.locate())), entry.hash.value)
        for entry in distribution.files or ()
        if entry.hash is not None and (entry.suffix in {".bddl", ".pruned_init"} or str(entry) == _TASK_MAP)
    }
    lines = "".join(f"{path} {expected}\n" for path, (_, expected) in sorted(files.items()))
    if hashlib.sha256(lines.encode()).hexdigest() != _CONTENTS_SHA256:
        raise ValueError(
            f"{_DISTRIBUTION} {distribution.version} does not hold the task files this project has checked; "
            "install the pinned release (`make setup`)."
        )
    return files
