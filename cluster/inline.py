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
from core.config import Config
from core.runfolder import RunFolder
from core.types import Adapter, Decision, Observation
from learner.build import build_learner
from learner.learner import Learner


class InlineLearner:
    """A `LearnerPart` whose updates are done when they are begun."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._report: Report | None = None

    @property
    def number(self) -> int:
        return self._learner.number

    def start(self, payloads: Sequence[Any]) -> None:
        self._report = self._learner.update(list(payloads), {})

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
        return Loaded(number=self._learner.number, extra=found.extra, damaged=found.damaged)


class InlineReplicas:
    """A `ReplicasPart` of the one policy in this process."""

    def __init__(self, policy: TorchPolicy) -> None:
        self._policy = policy

    def publish(self, adapter: Adapter) -> None:
        self._policy.update(adapter)

    def probe(self, observations: list[Observation]) -> list[list[Decision]]:
        return [self._policy.act(observations)]


def build_inline(config: Config, folder: RunFolder) -> Parts:
    """All parts, in this process."""
    policy = TorchPolicy(config.policy.checkpoint, config.policy, config.engine)
    fleet = make_loop(config, policy, folder.episodes)
    learner = InlineLearner(build_learner(config))
    return Parts(fleet=fleet, learner=learner, replicas=InlineReplicas(policy), close=fleet.close)
