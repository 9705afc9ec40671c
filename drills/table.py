"""Every fault that is injected into the running system, and what must hold of each.

In: a running `System`. Out: for each fault how it is made, how to tell that the system is whole again, and
within which time that must be.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from cluster.fleet import ANSWER_S
from cluster.heartbeat import PATIENCE_S, PING_EVERY_S
from drills.record import Event
from drills.system import System

ENVS_PER_ACTOR = 2
EVERYBODY = frozenset(range(2 * ENVS_PER_ACTOR))
"""The environments of a drilled run, which has two actors."""
HANG_S = PATIENCE_S + PING_EVERY_S
ACTOR_HANG_S = ANSWER_S + PING_EVERY_S
"""Until a hang is noticed."""
STEP_TIMEOUT_S = 5.0
GIL_S = 5.0
FULL_S = 10.0
CHECKPOINT_EVERY = 1
"""Updates, in a drilled run."""
UPDATES_S = 60.0
"""A few updates, whatever else is going on."""
GIVEN_UP_S = 300.0
"""After which a drill has failed on any machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    name: str
    inject: Callable[[System], object]
    holds: str
    """What must hold, in words."""
    limit_s: float
    """Within which the system must be whole again."""
    counted: str | None = None
    """Kind of failure that must be counted; None if nothing must be restarted."""
    shows: Callable[[System, list[Event]], bool] | None = None
    """Instead of episodes: whether the run, and its events since the fault, show that all is well."""


def _updated(name: str) -> Callable[[System, list[Event]], bool]:
    """An update since then that says so by a metric."""

    def shows(system: System, events: list[Event]) -> bool:
        numbers = {event["update"] for event in events if event["kind"] == "trained"}
        return any(line.get(name) for line in system.last_updates if line["update"] in numbers)

    return shows


def _trained(system: System, events: list[Event]) -> bool:
    """An update since then, and since the failure that was put on record if there is one."""
    kinds = [event["kind"] for event in events]
    return "trained" in kinds[kinds.index("fault") if "fault" in kinds else 0 :]


def _trained_from_a_full_store(system: System, events: list[Event]) -> bool:
    """An update has been begun and ended since the store had room again, and no chunk was lost."""
    trained = [event for event in events if event["kind"] == "trained"]
    if len(trained) < 2 or trained[-2]["seen_s"] < system.ordered_s + FULL_S:
        return False
    numbers = {event["update"] for event in trained}
    return not any(line["buffer/chunks_lost"] for line in system.last_updates if line["update"] in numbers)


def _trained_again(system: System, events: list[Event]) -> bool:
    """An update since the failure was put on record."""
    return any(event["kind"] == "fault" for event in events) and _trained(system, events)


def _kill(kind: str) -> Callable[[System], object]:
    return lambda system: system.signal(kind, signal.SIGKILL)


def _stop(kind: str) -> Callable[[System], object]:
    return lambda system: system.signal(kind, signal.SIGSTOP)


def _hold(kind: str) -> Callable[[System], object]:
    return lambda system: system.order(kind, "hold_gil", seconds=GIL_S)


SHORT = (
    Drill(
        name="a state that is not a number",
        inject=lambda system: system.order("environment", "poison_state"),
        holds="the episode is dropped, the environment is back",
        limit_s=5.0,
        counted="environment",
    ),
    Drill(
        name="a reward that is not a number",
        inject=lambda system: system.order("env_actor", "poison_reward"),
        holds="its chunk is quarantined",
        limit_s=UPDATES_S,
        shows=_updated("learner/decisions_quarantined"),
    ),
    Drill(
        name="a gradient that is not a number",
        inject=lambda system: system.order("learner", "poison_gradient"),
        holds="the step is skipped",
        limit_s=UPDATES_S,
        shows=_updated("learner/steps_skipped"),
    ),
    Drill(
        name="an adapter that is not numbers",
        inject=lambda system: system.order("learner", "poison_adapter"),
        holds="replicas refuse it, the next one is accepted",
        limit_s=UPDATES_S,
        shows=_updated("weights/refused"),
    ),
    Drill(
        name=f"interpreter lock held for {GIL_S:.0f} s in an environment actor",
        inject=_hold("env_actor"),
        holds="nothing is restarted",
        limit_s=GIL_S + 10.0,
    ),
    Drill(
        name="kill -9 of an environment worker",
        inject=_kill("environment"),
        holds="its episodes are dropped, it is back, others go on",
        limit_s=5.0,
        counted="environment",
    ),
)
"""The worker last: by then the spare that takes its place has had time to get ready."""

REST = (
    Drill(
        name="an environment worker hangs",
        inject=_stop("environment"),
        holds="it is replaced after env.step_timeout_s",
        limit_s=STEP_TIMEOUT_S + 5.0,
        counted="environment",
    ),
    Drill(
        name="kill -9 of an environment actor",
        inject=_kill("env_actor"),
        holds="its episodes are dropped, it is back, others go on",
        limit_s=30.0,
        counted="env_actor",
    ),
    Drill(
        name="an environment actor hangs",
        inject=_stop("env_actor"),
        holds="it is replaced",
        limit_s=ACTOR_HANG_S + 30.0,
        counted="env_actor",
    ),
    Drill(
        name="kill -9 of the only replica",
        inject=_kill("replica"),
        holds="it serves the current weights before any request; no request is lost",
        limit_s=60.0,
        counted="replica",
    ),
    Drill(
        name="the only replica hangs",
        inject=_stop("replica"),
        holds="it is replaced",
        limit_s=HANG_S + 60.0,
        counted="replica",
    ),
    Drill(
        name="kill -9 of a learner rank",
        inject=_kill("learner"),
        holds="the group goes on from the last checkpoint; at most one interval is lost",
        limit_s=90.0,
        counted="learner",
        shows=_trained_again,
    ),
    Drill(
        name="a learner rank hangs",
        inject=_stop("learner"),
        holds="the same",
        limit_s=HANG_S + 90.0,
        counted="learner",
        shows=_trained_again,
    ),
    Drill(
        name="kill -9 of the reward model",
        inject=_kill("reward"),
        holds="updates wait for it (reward.when_down=pause); its scores are asked for again",
        limit_s=60.0,
        counted="reward",
        shows=_trained_again,
    ),
    Drill(
        name=f"interpreter lock held for {GIL_S:.0f} s in the replica",
        inject=_hold("replica"),
        holds="nothing is restarted",
        limit_s=GIL_S + 10.0,
    ),
    Drill(
        name=f"interpreter lock held for {GIL_S:.0f} s in the learner",
        inject=_hold("learner"),
        holds="nothing is restarted",
        limit_s=GIL_S + 10.0,
    ),
    Drill(
        name=f"interpreter lock held for {GIL_S:.0f} s in the controller",
        inject=_hold("driver"),
        holds="nothing is restarted",
        limit_s=GIL_S + 10.0,
    ),
    Drill(
        name=f"object store full for {FULL_S:.0f} s",
        inject=lambda system: system.order("driver", "fill_object_store", seconds=FULL_S),
        holds="chunks are spilled or wait; nothing is lost",
        limit_s=FULL_S + UPDATES_S,
        shows=_trained_from_a_full_store,
    ),
    Drill(
        name="the clock jumps an hour ahead in the controller",
        inject=lambda system: system.order("driver", "jump_clock", seconds=3600.0),
        holds="nothing is restarted",
        limit_s=10.0,
    ),
    Drill(
        name="the clock jumps two hours back in the controller",
        inject=lambda system: system.order("driver", "jump_clock", seconds=-7200.0),
        holds="nothing is restarted",
        limit_s=10.0,
    ),
)
