"""A task built once per process and shared by every environment that plays it.

In: a task, an asset folder, the seed that draws the fixtures' places, a shift. Out: the MuJoCo model,
LIBERO's problem object (its success predicates), the robot's constants, and renderers.

Fixtures are not part of a state: LIBERO draws their places from NumPy's global generator at reset. Here
they are drawn once, exactly as LIBERO's `seed(seed)` and `reset()` draw them, and stay.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from core.config import RenderMode, Shift
from envs.libero_setup import prepare
from envs.physics import Arm, read_arm
from envs.primitives import is_primitive
from envs.rendering import Renderer
from envs.shifts import shift_model
from envs.suites import Task

MAX_BUILT = 12
"""Built tasks kept per process; the one that was used longest ago goes first."""


class Simulation:
    def __init__(self, task: Task, assets: Path, seed: int, shift: Shift = Shift.NONE) -> None:
        prepare(assets)
        self.task = task
        try:
            self.problem = _build(task, seed)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{task.id} cannot be built from the assets in {assets}: {error}") from error
        self.model: mujoco.MjModel = self.problem.sim.model._model
        self.model.opt.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE  # same states, sooner
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR  # nothing reads them
        shift_model(self.model, shift)
        self.arm: Arm = read_arm(self.problem)
        self._coarse_arm = is_primitive(assets)  # beside boxes the arm would be most of a picture's cost
        self._renderers: dict[tuple[RenderMode, int], Renderer] = {}

    def bind(self, data: mujoco.MjData) -> Any:
        """LIBERO's problem object, looking at this data."""
        self.problem.sim.data._data = data
        return self.problem

    def renderer(self, mode: RenderMode, size: int) -> Renderer:
        if (mode, size) not in self._renderers:
            self._renderers[mode, size] = Renderer(self.model, mode, size, coarse_arm=self._coarse_arm)
        return self._renderers[mode, size]


def simulation(task: Task, assets: Path, seed: int, shift: Shift = Shift.NONE) -> Simulation:
    """The process's one simulation of this task, built now if it is not there."""
    key = (task.bddl_file, assets, seed, shift)
    if key not in _built:
        _built[key] = Simulation(task, assets, seed, shift)
    _built.move_to_end(key)
    if len(_built) > MAX_BUILT:
        _built.popitem(last=False)
    return _built[key]


_built: OrderedDict[tuple[Path, Path, int, Shift], Simulation] = OrderedDict()


@contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """LIBERO and robosuite draw from NumPy's global generator: seeds it, and puts it back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _build(task: Task, seed: int) -> Any:
    from libero.libero.envs.env_wrapper import ControlEnv

    env = ControlEnv(
        bddl_file_name=str(task.bddl_file),
        use_camera_obs=False,
        has_offscreen_renderer=False,
        ignore_done=True,
    )
    with numpy_seed(seed):
        env.reset()
    return env.env
