"""What the alarms look at: one function per rule of `alarms.py`.

In: a run, the rule's threshold, the time. Out: whether it fires, is quiet or cannot tell yet, and a sentence
with the figures.
"""

from dataclasses import dataclass
from enum import Enum

from core.intervals import wilson
from dashboard.metrics import mean
from dashboard.run import Run

MIN_UPDATES = 20
"""Below this many updates a trend is noise: rules about trends say nothing."""
TREND_UPDATES = 200
"""A trend compares the first half of the last so many updates with the second."""
RECENT_UPDATES = 20
JUMP_UPDATES = 3
HOUR_S = 3600.0


class State(Enum):
    FIRING = "firing"
    QUIET = "quiet"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw."""

    state: State
    says: str


def entropy_collapsed(run: Run, threshold: float, now: float) -> Finding:
    entropy = run.metrics.recent_mean("learner/entropy", RECENT_UPDATES)
    if entropy is None:
        return _unknown("no update of the policy yet")
    said = f"The entropy of the action tokens is {entropy:.3g} nats per token."
    return _when(entropy < threshold, said)


def longer_but_no_better(run: Run, threshold: float, now: float) -> Finding:
    before, after = _halves(run, "rollout/episode_steps")
    if before is None or after is None or before <= 0:
        return _unknown(f"a trend needs {MIN_UPDATES} updates")
    growth = after / before - 1
    said = (
        f"Episodes went from {before:.0f} to {after:.0f} steps ({growth:+.0%}) and success {_success(run)}."
    )
    return _when(growth > threshold and not _success_rises(run), said)


def reward_but_no_success(run: Run, threshold: float, now: float) -> Finding:
    before, after = _halves(run, "learner/return")
    if before is None or after is None:
        return _unknown(f"a trend needs {MIN_UPDATES} updates")
    said = f"The return that is trained on went from {before:.2f} to {after:.2f} and success {_success(run)}."
    return _when(after - before > threshold and not _success_rises(run), said)


def curriculum_stuck(run: Run, threshold: float, now: float) -> Finding:
    rates = _task_rates(run)
    if len(run.metrics.recent) < MIN_UPDATES or not rates:
        return _unknown(f"needs {MIN_UPDATES} updates")
    if max(rates) < threshold:
        return Finding(State.FIRING, f"No task succeeds more often than {max(rates):.1%}: all are too hard.")
    if min(rates) > 1 - threshold:
        return Finding(
            State.FIRING, f"Every task succeeds at least {min(rates):.1%}: nothing is left to learn."
        )
    return Finding(
        State.QUIET, f"Estimated success of the tasks lies between {min(rates):.0%} and {max(rates):.0%}."
    )


def lag_at_bound(run: Run, threshold: float, now: float) -> Finding:
    lag = run.metrics.recent_mean("learner/lag_mean", RECENT_UPDATES)
    bound = float(run.setting("buffer.max_lag", 0))
    if lag is None or bound <= 0:
        return _unknown("no lag or no bound is known")
    said = (
        f"Decisions are {lag:.2f} versions old on average when they are trained on; {bound:.0f} is the bound."
    )
    return _when(lag >= threshold * bound, said)


def restarts(run: Run, threshold: float, now: float) -> Finding:
    end = now if run.events.state == "running" else run.last_time
    recent = [fault for fault in run.events.faults if fault.time > end - HOUR_S]
    if not recent:
        return Finding(State.QUIET, "Nothing broke within the last hour of the run.")
    said = (
        f"{len(recent)} failures within the last hour; the last one: {recent[-1].kind}: {recent[-1].reason}"
    )
    return _when(len(recent) >= threshold, said)


def nothing_comes(run: Run, threshold: float, now: float) -> Finding:
    events = run.events
    if events.state in ("complete", "stopped"):
        return Finding(State.QUIET, "The run has ended.")
    last, begun = events.last_trajectory or 0.0, events.begun or 0.0
    if not last and not begun:
        return _unknown("the run has not started")
    interval = run.metrics.recent_mean("time/interval_s", RECENT_UPDATES) or 0.0
    patience = max(threshold, 5 * interval, HOUR_S if events.is_evaluating else 0.0)
    silence = now - max(last, begun)
    said = f"The last episode ended {_duration(silence)} ago."
    if last < begun:
        said = f"No episode has ended since it was started or resumed {_duration(silence)} ago."
    if events.is_evaluating:
        said += " A policy is being judged, which is told at its end."
    return _when(silence > patience, said)


def pushed_but_unchanged(run: Run, threshold: float, now: float) -> Finding:
    changes = [
        line["weights/probe_change"]
        for line in run.metrics.recent
        if line.get("weights/probe_change", -1.0) >= 0 and line.get("learner/warmup", 0.0) == 0
    ][-3:]
    if len(changes) < 3:
        return _unknown("needs three pushes of a changed policy")
    said = f"Over the last three pushes the policy's log-probabilities moved by at most {max(changes):.2g}."
    return _when(max(changes) <= threshold, said)


def policy_jumps(run: Run, threshold: float, now: float) -> Finding:
    """Of single updates: one that goes too far is the beginning of worse, and a mean would hide it."""
    recent = run.metrics.recent_values("learner/kl", JUMP_UPDATES)
    if not recent:
        return _unknown("no update of the policy yet")
    said = f"One of the last {len(recent)} updates moved the policy by {max(recent):.3g} nats per token."
    return _when(max(recent) > threshold, said)


def samples_lost(run: Run, threshold: float, now: float) -> Finding:
    used = sum(run.metrics.recent_values("learner/decisions", RECENT_UPDATES))
    bad = sum(run.metrics.recent_values("learner/decisions_quarantined", RECENT_UPDATES))
    if used + bad <= 0:
        return _unknown("no update yet")
    said = f"{bad / (used + bad):.1%} of the decisions held a number that is not finite."
    return _when(bad / (used + bad) > threshold, said)


def engine_differs(run: Run, threshold: float, now: float) -> Finding:
    capped = run.metrics.recent_mean("learner/importance_capped", RECENT_UPDATES)
    if capped is None:
        return _unknown("no update of the policy yet")
    said = f"{capped:.1%} of the importance weights between engine and learner reached their cap."
    return _when(capped > threshold, said)


def _when(fires: bool, said: str) -> Finding:
    return Finding(State.FIRING if fires else State.QUIET, said)


def _unknown(why: str) -> Finding:
    return Finding(State.UNKNOWN, f"Cannot tell yet: {why}.")


def _halves(run: Run, name: str) -> tuple[float | None, float | None]:
    """Means of the earlier and the later half of the last updates."""
    values = run.metrics.recent_values(name, TREND_UPDATES)
    if len(values) < MIN_UPDATES:
        return None, None
    middle = len(values) // 2
    return mean(values[:middle]), mean(values[middle:])


def _success_counts(run: Run) -> list[tuple[float, float]]:
    """Successes and episodes of the earlier and the later half."""
    lines = [line for line in run.metrics.recent if "rollout/success" in line and "rollout/episodes" in line]
    middle = len(lines) // 2
    return [
        (
            sum(line["rollout/success"] * line["rollout/episodes"] for line in half),
            sum(line["rollout/episodes"] for line in half),
        )
        for half in (lines[:middle], lines[middle:])
    ]


def _success_rises(run: Run) -> bool:
    """Whether the later half's rate lies above the earlier half's interval."""
    (k1, n1), (k2, n2) = _success_counts(run)
    return n1 > 0 and n2 > 0 and k2 / n2 > wilson(round(k1), round(n1))[1]


def _success(run: Run) -> str:
    (k1, n1), (k2, n2) = _success_counts(run)
    if not (n1 and n2):
        return "is not known"
    return f"from {k1 / n1:.0%} to {k2 / n2:.0%}"


def _task_rates(run: Run) -> list[float]:
    """The curriculum's estimate for every task, now."""
    last = run.metrics.recent[-1] if run.metrics.recent else {}
    return [rate for name, rate in last.items() if name.startswith("curriculum/success/") and rate == rate]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.0f} h"
