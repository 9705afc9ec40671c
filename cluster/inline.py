"""Everything in one process, without Ray: breakpoints work anywhere.

In: settings. Out: the parts of a run. One environment at a time (or as many as asked), the policy in plain
PyTorch, a learner without DeepSpeed; an update runs to its end before the next step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.environments import make_loop
from actors.torch_policy import TorchPolicy
from cluster.parts import Loaded, Parts, Report
from cluster.tasks import reward_function
from core.config import Config
from core.runfolder import RunFolder
from core.types import Adapter, Decision, Observation, RewardScores, TrajectoryChunk
from learner.build import build_learner
from learner.learner import Learner
from policy.processing import load_processor
from reward.checkpoint import load_reward_model
from reward.scoring import Scorer


class InlineLearner:
    """A `LearnerPart` whose updates are done when they are begun."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._report: Report | None = None
        self.damaged: list[str] = []

    @property
    def number(self) -> int:
        return self._learner.number

    def start(self, payloads: Sequence[Any], scores: dict[str, RewardScores]) -> None:
        self._report = self._learner.update(list(payloads), scores)

    def finished(self) -> Report | None:
        report, self._report = self._report, None
        return report

    def adapter(self) -> Adapter:
        return self._learner.adapter()

    def probe(self, observations: list[Observation], tokens_BA: np.ndarray) -> np.ndarray:
        return self._learner.probe(observations, tokens_BA)

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        self._learner.save(root, extra, keep=keep)

    def load(self, root: Path) -> Loaded:
        found = self._learner.load(root)
        self.damaged = found.damaged
        return Loaded(number=self._learner.number, extra=found.extra)


class InlineReplicas:
    """A `ReplicasPart` of the one policy in this process."""

    def __init__(self, policy: TorchPolicy) -> None:
        self._policy = policy

    def publish(self, adapter: Adapter) -> None:
        self._policy.update(adapter)

    def probe(self, observations: list[Observation]) -> list[list[Decision]]:
        return [self._policy.act(observations)]


class InlineRewardModel:
    """A `RewardPart` that scores a chunk when it is asked."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._answers: dict[int, RewardScores] = {}

    def ask(self, slot: int, chunk: TrajectoryChunk) -> None:
        self._answers[slot] = self._scorer.score(chunk)

    def is_settled(self, slot: int) -> bool:
        return slot in self._answers

    def answer(self, slot: int) -> RewardScores:
        return self._answers[slot]

    def forget(self, slot: int) -> None:
        del self._answers[slot]


def build_inline(config: Config, folder: RunFolder) -> Parts:
    """All parts, in this process."""
    policy = TorchPolicy(config.policy.checkpoint, config.policy, config.engine)
    fleet = make_loop(config, policy, folder.episodes)
    learner = InlineLearner(build_learner(config, reward_function=reward_function(config)))
    return Parts(
        fleet=fleet,
        learner=learner,
        replicas=InlineReplicas(policy),
        rewards=_reward_model(config),
        close=fleet.close,
    )


def _reward_model(config: Config) -> InlineRewardModel | None:
    if not config.reward.checkpoint:
        return None
    policy_view = load_processor(config.policy.checkpoint, config.env.suite).view_shape
    model = load_reward_model(Path(config.reward.checkpoint))
    return InlineRewardModel(Scorer(model, policy_view=policy_view, batch_size=config.reward.batch_size))
