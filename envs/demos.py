"""Demonstrations on disk, in LIBERO's own dataset layout.

In: `Demo`s of one task to a `DemoWriter`. Out: `DemoFile`, a sequence of `Demo`s; LIBERO's published files
load as well.

The layout: data/demo_<i>/{actions, states, robot_states, rewards, dones, obs/{agentview_rgb,
eye_in_hand_rgb, ee_pos, ee_ori, ee_states, gripper_states, joint_states}}. As in LIBERO, `actions` are those
that were executed and pictures lie upside down, as robosuite renders them; `Demo` has them upright. Ours add
`clean_actions` and `phases`, and say how to replay. T steps, S numbers of a state, H W image height and
width. Observation and state t are those before action t.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from core.types import Start, StateSource, TaskId
from envs.suites import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """One recorded episode."""

    frames: np.ndarray
    """(T, H, W, 3) uint8, upright: LIBERO's protocol, turned by 180 degrees."""
    wrist_frames: np.ndarray
    """(T, H, W, 3) uint8 of the camera in the hand, turned likewise."""
    actions: np.ndarray
    """(T, 7) float64 as executed."""
    clean_actions: np.ndarray
    """(T, 7) float64 as the expert meant them: the labels to imitate. The executed ones in a published
    file."""
    phases: tuple[str, ...]
    """What each action was for; "" in a published file."""
    states: np.ndarray
    """(T, S) float64: time, joint positions, joint velocities."""
    end_effector: np.ndarray
    """(T, 6) float64: position, orientation as axis times angle."""
    gripper: np.ndarray
    """(T, 2) float64: the two fingers' positions."""
    joints: np.ndarray
    """(T, 7) float64: the arm's joints, rad."""
    success: bool
    num_steps: int
    """Steps until success, or T."""
    start: Start | None
    """Where it began; None in a published file."""

    @property
    def num_samples(self) -> int:
        return len(self.actions)


class DemoWriter:
    """Writes the demonstrations of one task; the file appears when `finish` is called, complete."""

    def __init__(self, path: Path, task: Task, settings: dict[str, Any]) -> None:
        self._path, self._partial = path, path.with_name(f".{path.name}.{os.getpid()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        self._file = h5py.File(self._partial, "w")
        self._data = self._file.create_group("data")
        self._data.attrs.update(_task_attributes(task))
        self._data.attrs["recording"] = json.dumps(settings, sort_keys=True)
        self._num_demos = self._total = 0

    def add(self, demo: Demo) -> None:
        group = self._data.create_group(f"demo_{self._num_demos}")
        _write_demo(group, demo)
        self._num_demos += 1
        self._total += demo.num_samples

    def finish(self) -> None:
        self._data.attrs.update(num_demos=self._num_demos, total=self._total)
        self._file.close()
        os.replace(self._partial, self._path)

    def discard(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> "DemoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()


class DemoFile(Sequence[Demo]):
    """The demonstrations of one file, read one at a time: `with DemoFile(path) as demos: for demo in demos:
    ...`"""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise ValueError(f"There is no demonstration file {path}.")
        with _naming(path):
            self._file = h5py.File(path, "r")
            self._data = self._file["data"]
            self._names = sorted(
                (name for name in self._data), key=lambda name: int(name.removeprefix("demo_"))
            )
            self.instruction = _instruction(self._data.attrs)

    @property
    def settings(self) -> dict[str, Any] | None:
        """How it was recorded; None in a published file."""
        text = self._data.attrs.get("recording")
        return None if text is None else json.loads(text)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        with _naming(self.path):
            return _read_demo(self._data[self._names[index]], self.settings)

    def __enter__(self) -> "DemoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


def demo_path(folder: Path, task: Task) -> Path:
    """Where LIBERO looks for a task's demonstrations below its dataset folder."""
    return folder / task.id.suite / f"{task.name}_demo.hdf5"


def _sweep(path: Path) -> None:
    """Removes what writers of this file left when they were killed; HDF5 locks what is being written."""
    for partial in path.parent.glob(f".{path.name}.*.part"):
        with partial.open("rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Whatever is wrong inside a file becomes one error that names it."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, TypeError, UnicodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is damaged or no file of demonstrations in LIBERO's layout ({error}); "
            "record or fetch it again."
        ) from error


def _task_attributes(task: Task) -> dict[str, Any]:
    """What LIBERO's tools look for beside the episodes."""
    content = task.bddl_file.read_text()
    problem = content.split("(problem", 1)[1].split(")", 1)[0].strip()
    bddl = f"libero/libero/bddl_files/{task.id.suite}/{task.name}.bddl"
    info = {
        "problem_name": problem.lower(),
        "domain_name": "robosuite",
        "language_instruction": task.instruction,
    }
    robot = {"robots": ["Panda"], "controller_configs": {"type": "OSC_POSE"}, "control_freq": 20}
    return {
        "env_name": problem,
        "problem_info": json.dumps(info),
        "macros_image_convention": "opengl",
        "bddl_file_name": bddl,
        "bddl_file_content": content,
        "env_args": json.dumps(
            {
                "type": 1,
                "env_name": problem,
                "problem_name": problem.lower(),
                "bddl_file": bddl,
                "env_kwargs": {**robot, "bddl_file_name": bddl},
            }
        ),
    }


def _instruction(attributes: Any) -> str:
    """Published files hold it as a sentence, or as a list of letters with quotes around them."""
    return "".join(json.loads(attributes["problem_info"])["language_instruction"]).strip('"')


def _write_demo(group: h5py.Group, demo: Demo) -> None:
    last = np.arange(demo.num_samples) == demo.num_samples - 1
    observation = group.create_group("obs")
    _write_pictures(observation, "agentview_rgb", demo.frames)
    _write_pictures(observation, "eye_in_hand_rgb", demo.wrist_frames)
    observation["ee_states"], observation["gripper_states"] = demo.end_effector, demo.gripper
    observation["ee_pos"], observation["ee_ori"] = np.split(demo.end_effector, [3], axis=1)
    observation["joint_states"] = demo.joints
    group["actions"], group["clean_actions"] = demo.actions, demo.clean_actions
    group["states"], group["robot_states"] = demo.states, _robot_states(demo)
    group["rewards"] = (last & demo.success).astype(np.uint8)
    group["dones"] = last.astype(np.uint8)
    group["phases"] = np.array(demo.phases, dtype="S12")
    group.attrs.update(num_samples=demo.num_samples, init_state=demo.states[0], success=demo.success)
    assert demo.start is not None
    group.attrs.update(
        num_steps=demo.num_steps, start_source=demo.start.source.value, start_number=demo.start.number
    )


def _write_pictures(observation: h5py.Group, name: str, frames_THWC: np.ndarray) -> None:
    """A chunk for every picture, so that one can be read without its neighbours."""
    chunks = (1, *frames_THWC.shape[1:])
    observation.create_dataset(
        name, data=frames_THWC[:, ::-1, ::-1], chunks=chunks, compression="gzip", compression_opts=1
    )


def _robot_states(demo: Demo) -> np.ndarray:
    """(T, 9) fingers, position, orientation as a quaternion (x, y, z, w): robosuite's order."""
    turn = demo.end_effector[:, 3:]
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    axis = turn / np.maximum(angle, 1e-12)
    quaternion = np.concatenate([axis * np.sin(angle / 2), np.cos(angle / 2)], axis=1)
    return np.concatenate([demo.gripper, demo.end_effector[:, :3], quaternion], axis=1)


def _read_demo(group: h5py.Group, settings: dict[str, Any] | None) -> Demo:
    observation, actions = group["obs"], group["actions"][()]
    published = settings is None
    return Demo(
        frames=observation["agentview_rgb"][()][:, ::-1, ::-1],
        wrist_frames=observation["eye_in_hand_rgb"][()][:, ::-1, ::-1],
        actions=actions,
        clean_actions=actions if published else group["clean_actions"][()],
        phases=("",) * len(actions) if published else tuple(group["phases"].asstr()[()]),
        states=group["states"][()],
        end_effector=observation["ee_states"][()],
        gripper=observation["gripper_states"][()],
        joints=observation["joint_states"][()],
        success=bool(group.attrs.get("success", True)),
        num_steps=int(group.attrs.get("num_steps", len(actions))),
        start=None if settings is None else _start(group.attrs, settings),
    )


def _start(attributes: Any, settings: dict[str, Any]) -> Start:
    task = TaskId(suite=settings["suite"], index=settings["task"])
    source = StateSource(attributes["start_source"])
    return Start(task=task, source=source, number=int(attributes["start_number"]))
