"""One drill in its phases: clean, faulty, whole again.

In: a running system and a drill. Out: what was measured, and whether what must hold did.
"""

import time
from collections.abc import Set
from dataclasses import dataclass

from drills.system import DrillError, System
from drills.table import EVERYBODY, GIVEN_UP_S, Drill

WINDOW_S = 8.0
"""Over which the rate before and after a fault is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one drill showed."""

    drill: Drill
    recovery_s: float
    clean: float
    """Environment steps per second of all environments, before."""
    others: float | None
    """Rate of the environments that the fault does not touch, meanwhile against before; None without such."""
    recovered: float
    """Rate of all afterwards against before."""
    num_dropped: int
    """Episodes that were interrupted."""
    num_updates_lost: int
    """Updates that had to be done again."""
    failure: str = ""
    """What did not hold; empty if all did."""


def run(system: System, drill: Drill) -> Outcome:
    """Measure, break, wait until all is well, measure."""
    clean = _rates(system, WINDOW_S)
    mark, counted = len(system.events), _num_faults(system)
    began = time.monotonic()
    failure = ""
    try:
        drill.inject(system)
        system.wait_for(
            lambda: _is_whole(system, drill, mark), f"recovery from {drill.name}", GIVEN_UP_S + drill.limit_s
        )
    except DrillError as error:
        failure = str(error)
    recovery_s = time.monotonic() - began
    meanwhile = _steps(system, mark)
    others = EVERYBODY - drill.affected
    after = _rates(system, WINDOW_S) if not failure else {}
    dropped = [event for event in system.events[mark:] if event["kind"] == "dropped"]
    return Outcome(
        drill=drill,
        recovery_s=recovery_s,
        clean=sum(clean.values()),
        others=_share(_total(meanwhile, others) / recovery_s, _total(clean, others)) if others else None,
        recovered=_share(sum(after.values()), sum(clean.values())),
        num_dropped=len(dropped),
        num_updates_lost=_updates_lost(system, mark),
        failure=failure or _verdict(drill, recovery_s, _num_faults(system) - counted),
    )


def _verdict(drill: Drill, recovery_s: float, num_faults: int) -> str:
    if recovery_s > drill.limit_s:
        return f"took {recovery_s:.0f} s, not {drill.limit_s:.0f}"
    if drill.counted is None and num_faults:
        return f"{num_faults} parts were restarted"
    return ""


def _is_whole(system: System, drill: Drill, mark: int) -> bool:
    """The failure is on record, and each environment that it touched has finished an episode since."""
    events = system.events[mark:]
    if drill.counted is not None:
        faults = [n for n, e in enumerate(events) if e["kind"] == "fault" and e["fault"] == drill.counted]
        if not faults:
            return False
        mark, events = mark + faults[0], events[faults[0] :]
    if drill.shows is not None:
        return drill.shows(system, mark)
    finished = {event["env"] for event in events if event["kind"] == "episode"}
    return finished >= (drill.affected or EVERYBODY)


def _rates(system: System, seconds: float) -> dict[int, float]:
    """Environment steps per second of each environment, from now on for so long."""
    mark = len(system.events)
    time.sleep(seconds)
    return {env: steps / seconds for env, steps in _steps(system, mark).items()}


def _steps(system: System, mark: int) -> dict[int, int]:
    steps = dict.fromkeys(EVERYBODY, 0)
    for event in system.events[mark:]:
        if event["kind"] == "episode":
            steps[event["env"]] += event["steps"]
    return steps


def _total(rates: dict[int, float] | dict[int, int], envs: Set[int]) -> float:
    return float(sum(rates[env] for env in envs))


def _share(now: float, before: float) -> float:
    return now / before if before else float("nan")


def _num_faults(system: System) -> int:
    return sum(event["kind"] == "fault" for event in system.events)


def _updates_lost(system: System, mark: int) -> int:
    """How often an update with the number of an earlier one was made."""
    events = system.events
    before = max((e["update"] for e in events[:mark] if e["kind"] == "trained"), default=0)
    again = [e["update"] for e in events[mark:] if e["kind"] == "trained" and e["update"] <= before]
    return len(again)
