"""A whole controller over fake parts, wired as `cluster/run.py` wires real ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from actors.messages import Fleet
from actors.rollout import RolloutLoop
from cluster.buffer import TrajectoryBuffer
from cluster.controller import Controller
from cluster.curriculum import Curriculum
from cluster.progress import Progress
from cluster.publishing import Probes, Publisher
from cluster.rollouts import Rollouts
from cluster.scoring import RewardPart, Scoring
from cluster.supervision import Supervisor
from core import settings
from core.metrics import MetricsWriter
from core.types import Start, StateSource, TaskId
from tests.actors.fakes import ACTION_TOKENS, FakePolicy, FakePool, FakeView
from tests.cluster.fakes import FakeLearner, FakeReplicas

TASKS = [TaskId(suite="libero_spatial", index=index) for index in range(3)]
MAX_CHUNK = 8
SMALL = ["learner.microbatch_size=4", "learner.minibatch_size=4", "learner.decisions_per_update=20"]


def varied(start: Start) -> tuple[int, bool]:
    """Episodes of 1 to 8 steps, every second one a success."""
    return 1 + start.number * 7 % MAX_CHUNK, start.number % 2 == 0


class Harness:
    """Everything a test may want to look at."""

    def __init__(
        self,
        folder: Path,
        words: list[str],
        *,
        num_envs: int = 4,
        fleet: Fleet | None = None,
        learner: FakeLearner | None = None,
        policy: FakePolicy | None = None,
        plan: Callable[[Start], tuple[int, bool]] = varied,
        evaluation: int = 0,
        num_updates: int = 0,
        deaf_times: int = 0,
        group_size: int = 1,
        reward_model: RewardPart | None = None,
    ) -> None:
        config = settings.load(
            None,
            [
                "learner.microbatch_size=4",
                "learner.minibatch_size=4",
                "learner.decisions_per_update=20",
                *words,
            ],
        )
        self.policy = policy or FakePolicy()
        self.pool = FakePool(num_envs, plan=plan)
        self.fleet = fleet or RolloutLoop(
            self.pool,
            self.policy,
            FakeView(),
            num_envs=num_envs,
            instruction=str,
            chunk_decisions=config.buffer.chunk_decisions,
        )
        self.learner = learner or FakeLearner()
        self.replicas = FakeReplicas(self.policy, deaf_times=deaf_times)
        self.writer = MetricsWriter(folder)
        self.supervisor = Supervisor([self.learner], self.writer)
        self.buffer: TrajectoryBuffer[Any] = TrajectoryBuffer(
            decisions_per_update=config.learner.decisions_per_update,
            max_lag=config.buffer.max_lag,
            max_chunk_decisions=config.buffer.chunk_decisions or MAX_CHUNK,
            group_size=group_size,
        )
        self.curriculum = Curriculum(
            config.curriculum, dict.fromkeys(TASKS, 50), StateSource.FRESH, seed=config.run.seed
        )
        progress = Progress(config.run.num_updates)
        self.scoring = Scoring(reward_model)
        self.rollouts = Rollouts(
            self.fleet,
            self.buffer,
            self.curriculum,
            scoring=self.scoring,
            supervisor=self.supervisor,
            progress=progress,
            writer=self.writer,
            attempt=0,
            video_every=0,
        )
        probes = Probes.make((4, 4, 3), "probe", range(256), ACTION_TOKENS)
        starts = [Start(task=TASKS[0], source=StateSource.PUBLISHED, number=n) for n in range(evaluation)]
        self.controller = Controller(
            config,
            folder,
            rollouts=self.rollouts,
            buffer=self.buffer,
            curriculum=self.curriculum,
            learner=self.learner,
            scoring=self.scoring,
            publisher=Publisher(self.learner, self.replicas, probes, dtypes={"float32"}),
            supervisor=self.supervisor,
            progress=progress,
            writer=self.writer,
            evaluation_starts=starts,
            num_updates=num_updates,
        )

    @property
    def trained_ids(self) -> list[str]:
        return [chunk.id for chunk in self.learner.trained]

    def assert_no_chunk_twice_or_torn(self) -> None:
        """Each chunk at most once; an episode's chunks follow each other without a hole."""
        assert len(set(self.trained_ids)) == len(self.trained_ids)
        last: dict[str, Any] = {}
        for chunk in sorted(self.learner.trained, key=lambda chunk: (chunk.episode_id, chunk.index)):
            before = last.get(chunk.episode_id)
            assert chunk.index == (0 if before is None else before.index + 1)
            if before is not None:
                assert np.array_equal(before.bootstrap_frame, chunk.frames[0])
            last[chunk.episode_id] = chunk
