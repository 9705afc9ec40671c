"""What needs a person's attention: one table of rules, each with its threshold, in plain words.

In: a run and the time. Out: for every rule whether it fires, is quiet, or cannot tell yet, and why.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dashboard import checks
from dashboard.checks import Finding, State
from dashboard.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table."""

    name: str
    title: str
    threshold: float
    meaning: str
    """The threshold in words; `{}` is its value."""
    advice: str
    look: Callable[[Run, float, float], Finding]
    """(run, threshold, now) to what it saw."""


RULES = (
    Rule(
        name="entropy_collapsed",
        title="The policy has stopped trying new things",
        threshold=0.1,
        meaning="entropy below {} nats per token (256 equally likely actions would be 5.5)",
        advice="Raise policy.temperature or learner.entropy_coef, or lower learner.lr.",
        look=checks.entropy_collapsed,
    ),
    Rule(
        name="longer_but_no_better",
        title="Episodes grow longer while success is flat",
        threshold=0.15,
        meaning="episodes longer by {:.0%} and no more success",
        advice="It may have learned to wait or to wander. Look at the newest videos; lower reward.scale.",
        look=checks.longer_but_no_better,
    ),
    Rule(
        name="reward_but_no_success",
        title="Reward rises while success is flat",
        threshold=0.1,
        meaning="return up by {} (a success is worth 1) and no more success",
        advice="The reward model is being pleased, not the task. Lower reward.scale; use potential shaping.",
        look=checks.reward_but_no_success,
    ),
    Rule(
        name="curriculum_stuck",
        title="The curriculum has nothing useful to offer",
        threshold=0.05,
        meaning="every task within {:.0%} of never or always",
        advice="All too hard: train longer by imitation first. All solved: add tasks with env.tasks.",
        look=checks.curriculum_stuck,
    ),
    Rule(
        name="lag_at_bound",
        title="The learner cannot keep up",
        threshold=0.9,
        meaning="mean lag at {:.0%} of buffer.max_lag or more",
        advice="Environments wait for it. Add learner ranks, or lower learner.epochs.",
        look=checks.lag_at_bound,
    ),
    Rule(
        name="restarts",
        title="Parts keep breaking",
        threshold=3,
        meaning="{:.0f} failures or more within an hour",
        advice="They are mended by themselves, but each costs work. Usually it is memory or a renderer.",
        look=checks.restarts,
    ),
    Rule(
        name="nothing_comes",
        title="No episode has come for a while",
        threshold=300,
        meaning="no episode for {:.0f} s, or five update intervals if that is longer",
        advice="The process may have been killed or hang. If it is gone: vlarl train --resume RUN.",
        look=checks.nothing_comes,
    ),
    Rule(
        name="pushed_but_unchanged",
        title="Weights are pushed, but the policy does not change",
        threshold=1e-7,
        meaning="log-probabilities of a fixed observation moved by {} or less over three pushes",
        advice="No or only success teaches nothing; or learner.lr is too small for learner.dtype.",
        look=checks.pushed_but_unchanged,
    ),
    Rule(
        name="policy_jumps",
        title="The policy changes too much at once",
        threshold=0.05,
        meaning="KL of one of the last three updates above {} nats per token",
        advice="Lower learner.lr or learner.epochs.",
        look=checks.policy_jumps,
    ),
    Rule(
        name="samples_lost",
        title="Samples are being thrown away",
        threshold=0.01,
        meaning="more than {:.0%} of decisions quarantined",
        advice="They come from the engine or the critic. Try a wider dtype or a lower learner.lr.",
        look=checks.samples_lost,
    ),
    Rule(
        name="engine_differs",
        title="Engine and learner disagree",
        threshold=0.05,
        meaning="more than {:.0%} of importance weights at their cap",
        advice="Lower buffer.max_lag, or run engine and learner in the same dtype.",
        look=checks.engine_differs,
    ),
)


def findings(run: Run, now: float) -> list[dict[str, str]]:
    """Every rule's state, those that fire first."""
    looked = [(rule, rule.look(run, rule.threshold, now)) for rule in RULES]
    order = list(State)
    looked.sort(key=lambda pair: order.index(pair[1].state))
    return [
        {
            "name": rule.name,
            "title": rule.title,
            "state": finding.state.value,
            "says": finding.says,
            "threshold": rule.meaning.format(rule.threshold),
            "advice": rule.advice,
        }
        for rule, finding in looked
    ]
