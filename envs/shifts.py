"""Scenes and words that training never saw: does a policy's skill survive them?

In: a built task's model, a state, or an instruction. Out: the same, shifted. One kind of shift at a time, the
same size every time, so that two policies are judged on the same.

    camera     the main camera stands 5 cm further to the side and 5 cm higher
    light      every lamp is half as bright
    starts     the arm's joints begin up to 0.1 rad away; objects on the table are moved together by up to
               3 cm in x and in y
    wording    verbs are said in other words
"""

import re
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import Shift
from core.types import MAIN_CAMERA, Start

if TYPE_CHECKING:
    import mujoco

CAMERA_M = (0.0, 0.05, 0.05)
BRIGHTNESS = 0.5
ARM_RAD = 0.1
"""Five times the standard deviation that the published states have."""
OBJECTS_M = 0.03

_SYNONYMS = {
    "pick up": "grab",
    "place": "set",
    "put": "lay",
    "open": "pull open",
    "close": "shut",
    "turn on": "switch on",
    "turn off": "switch off",
    "push": "slide",
    "stack": "pile",
}
_VERBS = re.compile(rf"\b({'|'.join(_SYNONYMS)})\b")


def shift_model(model: "mujoco.MjModel", shift: Shift) -> None:
    """Camera and light, in a model that nothing has been drawn of yet."""
    if shift is Shift.CAMERA:
        model.cam_pos[model.camera(MAIN_CAMERA).id] += CAMERA_M
    elif shift is Shift.LIGHT:
        headlight = model.vis.headlight
        for colours in (
            *(model.light_ambient, model.light_diffuse, model.light_specular),
            *(headlight.ambient, headlight.diffuse, headlight.specular),
        ):
            colours *= BRIGHTNESS


def moved(problem: Any, model: "mujoco.MjModel", state: np.ndarray, start: Start) -> np.ndarray:
    """(S,) another place for arm and objects, the same for the same start."""
    rng = np.random.default_rng(zlib.crc32(str(start).encode()))
    state = state.copy()
    qpos = state[1 : 1 + model.nq]
    joints = problem.robots[0]._ref_joint_pos_indexes
    qpos[joints] += rng.uniform(-ARM_RAD, ARM_RAD, len(joints))
    offset = rng.uniform(-OBJECTS_M, OBJECTS_M, 2)
    for name, placed in problem.objects_dict.items():
        if not _stands_on_fixture(problem, name):
            address = model.joint(placed.joints[-1]).qposadr[0]
            qpos[address : address + 2] += offset
    return state


def reworded(instruction: str) -> str:
    """The same task in words that LIBERO does not use."""
    return _VERBS.sub(lambda verb: _SYNONYMS[verb[0]], instruction)


def _stands_on_fixture(problem: Any, name: str) -> bool:
    """A cabinet or a stove stays where it is, and what is in or on it too; the table counts as neither."""
    return any(
        entry[1:2] == [name] and any(entry[2].startswith(fixture) for fixture in problem.fixtures_dict)
        for entry in problem.parsed_problem["initial_state"]
        if len(entry) == 3
    )
