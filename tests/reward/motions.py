"""Motions drawn by hand: what an arm would have done, without one."""

import numpy as np

from reward.motion import Motion

NUM, RATE = 100, 20.0
GRASP, RELEASE, SUCCESS = 40, 80, 85
TRAVEL = 8
"""Samples that the fingers take."""


def pick_and_place(
    *, success: bool = True, held_share: float = 0.0, flicker: float = 0.0, on_the_fly: bool = False
) -> Motion:
    """Moves, rests while the fingers close (told at GRASP, TRAVEL samples), moves, rests while they
    open.

    `held_share`: how far open the fingers stay around an object. `flicker`: sensor noise on the opening.
    `on_the_fly`: the arm never rests.
    """
    time = np.arange(NUM)
    closing = np.clip((time - GRASP) / TRAVEL, 0, 1)
    opening = np.clip((time - RELEASE) / TRAVEL, 0, 1)
    share = 1 - (1 - held_share) * (closing - opening)
    share = share + flicker * np.where(time % 2, 1, -1)
    speed = np.full(NUM, 0.3)
    if not on_the_fly:
        speed[GRASP - 2 : GRASP + 11] = 0.02
        speed[RELEASE - 2 : RELEASE + 11] = 0.02
    command = np.where((time >= GRASP) & (time < RELEASE), 1.0, -1.0)
    return Motion(
        rate_hz=RATE,
        opening=0.08 * share,
        command=command,
        speed=speed,
        object_speed=None,
        success_at=SUCCESS if success else None,
    )


def push(*, seen: bool) -> Motion:
    """The arm moves and rests twice; an object moves from sample 30 to 50, with a short halt in between."""
    time = np.arange(NUM)
    objects = np.where((time >= 30) & (time < 50), 0.2, 0.0)
    objects[40:43] = 0.0
    speed = np.where((time < 25) | ((time >= 30) & (time < 50)), 0.3, 0.01)
    return Motion(
        rate_hz=RATE,
        opening=np.full(NUM, 0.08),
        command=np.full(NUM, -1.0),
        speed=speed,
        object_speed=objects if seen else None,
        success_at=None,
    )
