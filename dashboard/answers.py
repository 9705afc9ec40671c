"""Sentences that answer a reader's questions before any chart does.

In: a run. Out: is it learning, and which stage holds it up.
"""

from core.intervals import wilson
from dashboard.events import Evaluation
from dashboard.run import Run

RECENT_UPDATES = 20
STAGES = {
    "update": "the learner updates",
    "publish": "new weights are pushed",
    "checkpoint": "checkpoints are written",
    "evaluation": "evaluation episodes are played",
    "wait": "the learner waits for episodes",
}
"""What the run's time goes to, in the order of the bar."""

ADVICE = {
    "update": "The learner is the bottleneck: more learner ranks or fewer learner.epochs would help.",
    "publish": "Pushing weights is the bottleneck: look at the replicas' network and at time/push_s.",
    "checkpoint": "Checkpoints are the bottleneck: write them less often with run.checkpoint_every.",
    "evaluation": "Evaluation is the bottleneck: evaluate less often with eval.every.",
}


def is_it_learning(run: Run) -> str:
    """From evaluations if there are two, else from the training episodes."""
    evaluations = run.events.evaluations
    if len(evaluations) >= 2 and evaluations[0].update < evaluations[-1].update:
        return _before_after(evaluations[0], evaluations[-1])
    points = run.events.outcomes["success"].points(5)
    if len(points.count) < 2:
        return "Too early to tell: not enough episodes have ended."
    first = (int(points.total[0]), int(points.count[0]))
    last = (int(points.total[-1]), int(points.count[-1]))
    said = f"Success while training went from {_rate(first)} to {_rate(last)}"
    return f"{_verdict(first, last)} {said}. A second evaluation, which decides, has not been made yet."


def _before_after(before: Evaluation, after: Evaluation) -> str:
    when = f"after update {before.update}" if before.update else "before training"
    said = f"Success on published starts went from {_rate(before.total)} {when} to {_rate(after.total)}"
    how = "greedily" if after.greedy else "sampled as in training"
    return f"{_verdict(before.total, after.total)} {said} after update {after.update}, judged {how}."


def _verdict(before: tuple[int, int], after: tuple[int, int]) -> str:
    low, high = wilson(*before)
    low_after, high_after = wilson(*after)
    if low_after > high:
        return "Yes."
    if high_after < low:
        return "No, it has become worse."
    if after[0] / after[1] > before[0] / before[1]:
        return "Perhaps: better, but within chance."
    return "Not so far."


def _rate(counts: tuple[int, int]) -> str:
    low, high = wilson(*counts)
    return f"{counts[0] / counts[1]:.0%} ({counts[0]} of {counts[1]}; 95% interval {low:.0%} to {high:.0%})"


def time_shares(run: Run) -> dict[str, float]:
    """Share of the last updates' time per stage; what is left over is waiting for episodes."""
    metrics = run.metrics
    interval = metrics.recent_mean("time/interval_s", RECENT_UPDATES)
    if not interval:
        return {}
    spent = {
        name: sum(metrics.recent_values(f"time/{name}_s", RECENT_UPDATES))
        for name in STAGES
        if name != "wait"
    }
    total = interval * len(metrics.recent_values("time/interval_s", RECENT_UPDATES))
    shares = {name: seconds / total for name, seconds in spent.items()}
    return shares | {"wait": max(0.0, 1.0 - sum(shares.values()))}


def bottleneck(run: Run) -> str:
    """Which stage limits the speed, and what would help."""
    shares = time_shares(run)
    if not shares:
        return "Not known yet: no update has been made."
    stage = max(shares, key=shares.__getitem__)
    said = f"{shares[stage]:.0%} of the time {STAGES[stage]}"
    if stage == "wait":
        return f"{said}. {_what_episodes_wait_for(run)}"
    return f"{said}. {ADVICE[stage]}"


def _what_episodes_wait_for(run: Run) -> str:
    """Whether simulators or the engine are slow, from the mean seconds a decision and its steps take."""
    decision_s = run.metrics.recent_mean("rollout/decision_s", RECENT_UPDATES)
    step_s = run.metrics.recent_mean("rollout/step_s", RECENT_UPDATES)
    if decision_s is None or step_s is None:
        return "Rollouts are the bottleneck: more environments or inference replicas would help."
    figures = f"A decision takes {_ms(decision_s)}, playing it in the simulator {_ms(step_s)}"
    if decision_s > step_s:
        return f"{figures}: the inference engine is the bottleneck, more replicas would help."
    return f"{figures}: simulation is the bottleneck, more environment workers would help."


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
