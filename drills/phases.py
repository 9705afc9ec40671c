"""One drill in its phases: clean, faulty, whole again.

In: a running system and a drill. Out: what was measured, and whether what must hold did.
"""

import time
from collections.abc import Set
from dataclasses import dataclass

from drills.record import Event, steps_per_s
from drills.system import DrillError, System
from drills.table import CHECKPOINT_EVERY, ENVS_PER_ACTOR, EVERYBODY, GIVEN_UP_S, Drill

WINDOW_S = 10.0
"""Over which the rate before and after a fault is measured."""
TAIL_S = 2.0
"""Watched beyond that, so that the episodes that were open at its end are known as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one drill showed."""

    drill: Drill
    recovery_s: float
    before: float
    """Environment steps per second of all environments."""
    after: float
    others: float | None
    """Rate of the environments that the fault did not touch, meanwhile against before and after; None
    without such, and where it was not measured.
    """
    num_dropped: int
    """Episodes that were interrupted."""
    num_updates_lost: int
    """Updates that had to be done again."""
    failure: str = ""
    """What did not hold; empty if all did."""


class Phases:
    """Drills one after the other: what is measured after one is what was before the next."""

    def __init__(self, system: System, *, timed: bool) -> None:
        """Not `timed`, no rate is measured, and it does not matter how long a recovery takes."""
        self._system, self._timed = system, timed
        self._window = self._watch()

    def run(self, drill: Drill) -> Outcome:
        """Break, wait until all is well, measure."""
        system, before = self._system, self._window
        system.look_around()
        mark = len(system.events)
        began_s, failure = time.monotonic(), ""
        try:
            drill.inject(system)
            system.wait_for(lambda: _is_whole(system, drill, mark), "recovery", GIVEN_UP_S)
        except DrillError as error:
            failure = str(error)
        ended_s = time.monotonic()
        self._window = after = self._watch()
        events = system.events
        others = EVERYBODY - (_touched(events[mark:], drill) or EVERYBODY)
        return Outcome(
            drill=drill,
            recovery_s=ended_s - began_s,
            before=self._pace(EVERYBODY, before),
            after=self._pace(EVERYBODY, after),
            others=self._others(others, before, (began_s, max(ended_s, began_s + WINDOW_S)), after),
            num_dropped=_number(events[mark:], "dropped"),
            num_updates_lost=_updates_lost(events, mark),
            failure=failure or _verdict(drill, ended_s - began_s, events, mark, timed=self._timed),
        )

    def _watch(self) -> tuple[float, float]:
        began_s = time.monotonic()
        if self._timed:
            self._system.watch(WINDOW_S + TAIL_S)
        return began_s, began_s + WINDOW_S

    def _pace(self, envs: Set[int], window: tuple[float, float]) -> float:
        return steps_per_s(self._system.events, envs, *window)

    def _others(self, envs: Set[int], *windows: tuple[float, float]) -> float | None:
        if not envs or not self._timed:
            return None
        before, meanwhile, after = (self._pace(envs, window) for window in windows)
        return meanwhile / ((before + after) / 2) if before + after else 0.0


def _verdict(drill: Drill, recovery_s: float, events: list[Event], mark: int, *, timed: bool) -> str:
    """What does not hold, of a drill whose fault was survived."""
    num_faults, num_dropped = (_number(events[mark:], kind) for kind in ("fault", "dropped"))
    lost = _updates_lost(events, mark)
    if timed and recovery_s > drill.limit_s:
        return f"took {recovery_s:.0f} s, not {drill.limit_s:.0f}"
    if drill.counted is None and (num_faults or num_dropped):
        return f"{num_faults} parts were restarted, {num_dropped} episodes dropped"
    if lost > CHECKPOINT_EVERY:
        return f"{lost} updates were lost, with a checkpoint after every {CHECKPOINT_EVERY}"
    return ""


def _is_whole(system: System, drill: Drill, mark: int) -> bool:
    """The failure is on record, and each environment that it touched has finished an episode since."""
    events = system.events[mark:]
    if drill.shows is not None:
        return drill.shows(system, events)
    touched = _touched(events, drill)
    if not touched:
        return False
    if drill.counted is not None:
        events = events[next(n for n, event in enumerate(events) if _is_fault(event, drill.counted)) :]
    return {event["env"] for event in events if event["kind"] == "episode"} >= touched


def _touched(events: list[Event], drill: Drill) -> Set[int]:
    """Environments that could not go on, as the run itself put it on record."""
    members = [event["member"] for event in events if drill.counted and _is_fault(event, drill.counted)]
    match drill.counted:
        case "environment":
            return set(members)
        case "env_actor":
            return {env for env in EVERYBODY if env // ENVS_PER_ACTOR in members}
        case "replica":
            return EVERYBODY if members else set()
        case _:
            return EVERYBODY


def _is_fault(event: Event, kind: str) -> bool:
    return event["kind"] == "fault" and event["fault"] == kind


def _number(events: list[Event], kind: str) -> int:
    return sum(event["kind"] == kind for event in events)


def _updates_lost(events: list[Event], mark: int) -> int:
    """How far the first update that was made after a learner's death went back."""
    deaths = [n for n, event in enumerate(events) if n >= mark and _is_fault(event, "learner")]
    if not deaths:
        return 0
    before, since = (
        [event["update"] for event in part if event["kind"] == "trained"]
        for part in (events[: deaths[0]], events[deaths[0] :])
    )
    return max(0, before[-1] + 1 - since[0]) if before and since else 0
