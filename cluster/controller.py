"""The controller: starts episodes, hands what they bring to the learner, publishes what it learns.

    curriculum ──start──► environments ──sealed chunk──► buffer ──batch──► learner ──adapter──► replicas
        ▲                      │   ▲                       │                                       │
        └──────outcome─────────┘   └───slot (may begin)────┘         decisions come from ◄─────────┘

What waits for what: an environment without a slot waits for the learner (the buffer is full); the learner
waits for the oldest open chunks; a slot is returned once the update that used it has been published.
Nothing else waits. Chunks are only references here: no trajectory passes through this process, unless
everything runs in it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.buffer import Batch, TrajectoryBuffer
from cluster.curriculum import Curriculum
from cluster.parts import Fault, GivenUpError, LearnerLostError, LearnerPart, Report
from cluster.progress import Progress
from cluster.publishing import Publisher
from cluster.rollouts import Rollouts, episode_fields
from cluster.scoring import Scoring
from cluster.supervision import Supervisor
from core.config import Config
from core.metrics import MetricsWriter
from core.types import Start


class Controller:
    """One run, from the first episode to the last checkpoint. `run` is the whole story."""

    def __init__(
        self,
        config: Config,
        checkpoints: Path,
        *,
        rollouts: Rollouts,
        buffer: TrajectoryBuffer[Any],
        curriculum: Curriculum,
        learner: LearnerPart,
        scoring: Scoring,
        publisher: Publisher,
        supervisor: Supervisor,
        progress: Progress,
        writer: MetricsWriter,
        evaluation_starts: list[Start],
        num_updates: int = 0,
        num_evaluated: int = -1,
    ) -> None:
        """`num_updates` have been made, and the policy after `num_evaluated` has been judged."""
        self._config, self._checkpoints = config, checkpoints
        self._rollouts, self._buffer, self._curriculum = rollouts, buffer, curriculum
        self._learner, self._scoring, self._publisher = learner, scoring, publisher
        self._supervisor, self._progress, self._writer = supervisor, progress, writer
        self._evaluation_starts = evaluation_starts
        self._num_updates = self._num_saved = num_updates
        self._num_evaluated = num_evaluated
        self._batch: Batch[Any] | None = None
        self._is_updating = False
        limit_s = config.run.max_minutes * 60
        self._deadline = time.monotonic() + limit_s if limit_s else float("inf")

    def run(self) -> bool:
        """Train until done; False if the run was told to stop before."""
        with self._supervisor.listening():
            try:
                self._run()
            except LearnerLostError:  # told to stop: its last checkpoint is what there is
                return False
            except GivenUpError:
                self._save_what_is_learned()
                if not self._supervisor.told_to_stop:
                    raise
            return not self._supervisor.told_to_stop

    def _run(self) -> None:
        self._insist(self._publisher.publish)
        if self._num_updates == 0 and self._config.eval.before and self._num_evaluated < 0:
            self._insist(self._evaluate)
        self._train_until_done()
        while self._num_saved < self._num_updates:
            self._insist(self._checkpoint)
            self._train_until_done()  # again, if the learner was lost while it saved
        if self._num_evaluated != self._num_updates:
            self._insist(self._evaluate)

    def _save_what_is_learned(self) -> None:
        if self._num_saved < self._num_updates:
            with suppress(LearnerLostError):
                self._try_checkpoint()

    def _train_until_done(self) -> None:
        while not self._done():
            self._insist(self._turn)
        while self._is_updating:
            self._insist(self._finish)

    def _insist(self, act: Callable[[], Any]) -> None:
        """Do it, after mending what broke; anew if the learner dies under it, unless the run is to stop."""
        while True:
            try:
                self._tend()
                act()
            except LearnerLostError:
                if self._supervisor.told_to_stop:
                    raise
            else:
                return

    def _turn(self) -> None:
        self._rollouts.grant()
        self._rollouts.collect()
        self._train()

    def _finish(self) -> None:
        """What the learner has begun is not thrown away: a checkpoint would have to wait for it anyway."""
        self._rollouts.collect()
        self._train()

    def _mend(self) -> None:
        """Where the learner's death needs no more than its mending: whoever waits may go on waiting."""
        self._insist(lambda: None)

    def _done(self) -> bool:
        enough = self._num_updates >= self._config.run.num_updates
        return enough or self._supervisor.told_to_stop or time.monotonic() > self._deadline

    def _tend(self) -> None:
        """Mend what broke. A learner that came back stands at its last checkpoint; its batch waits."""
        if Fault.LEARNER in self._supervisor.attend():
            tell_damaged(self._learner.damaged, self._writer)
            if self._batch is not None:
                self._buffer.put_back(self._batch)
                self._batch, self._is_updating = None, False
            self._num_updates = self._num_saved = self._learner.number
            if self._num_evaluated > self._num_updates:
                self._num_evaluated = -1  # it was another policy
            self._writer.rewind(self._num_updates)
            self._publisher.publish()

    def _train(self) -> None:
        """Begin an update when a batch and its scores are complete; conclude it when it is done."""
        self._batch = self._batch or self._buffer.take()
        if self._batch is None:
            return
        if not self._is_updating:
            scores = self._scoring.scores_of(self._batch.slots)
            if scores is None:
                return
            self._learner.start(self._batch.payloads, scores)
            self._is_updating = True
        report = self._learner.finished()
        if report is not None:
            self._conclude(self._batch, report)

    def _conclude(self, batch: Batch[Any], report: Report) -> None:
        """Publish before returning the slots: the buffer's bound on lag rests on this order."""
        published = self._publisher.publish() if report.policy_changed else {}
        self._buffer.release(batch)
        self._scoring.forget(batch.slots)
        self._batch, self._is_updating = None, False
        if report.number == self._num_updates:
            self._writer.event("nothing_learned", slots=batch.slots)
            print(f"all {len(batch.slots)} chunks of a batch were lost with their node", flush=True)
            return
        self._num_updates = report.number
        versions = self._scoring.versions
        self._writer.event("trained", update=report.number, slots=batch.slots, reward_models=versions)
        for moments in report.moments:
            self._writer.event("moments", **moments)
        self._supervisor.update_done()
        to_evaluate = _due(report.number, self._config.eval.every) and not self._done()
        if _due(report.number, self._config.run.checkpoint_every) or to_evaluate:
            self._try_checkpoint()  # so that what is judged is not lost meanwhile, and other weights judged
        self._tell(report, published)
        if to_evaluate:
            self._evaluate()

    def _tell(self, report: Report, published: dict[str, float]) -> None:
        values = {
            **report.metrics,
            **published,
            **self._progress.scalars(),
            **self._supervisor.scalars(),
            **self._curriculum.scalars(),
            **self._buffer.scalars(),
            **self._scoring.scalars(),
            "weights/version": float(report.version),
        }
        self._writer.scalars(report.number, values)
        print(self._progress.line(report.number, values), flush=True)

    def _try_checkpoint(self) -> None:
        """Fault-tolerance point: a full disk costs a checkpoint, not the run. The last one must succeed."""
        try:
            self._checkpoint()
        except OSError as error:
            self._writer.event("checkpoint_failed", update=self._num_updates, reason=str(error))
            print(f"no checkpoint after update {self._num_updates}: {error}", flush=True)

    def _checkpoint(self) -> None:
        extra = {
            "curriculum": self._curriculum.state(),
            "next_slot": self._buffer.next_slot,
        }
        with self._progress.spend("checkpoint"):
            self._learner.save(self._checkpoints, extra, keep=self._config.run.keep_checkpoints)
        self._num_saved = self._num_updates
        self._writer.event("checkpoint", update=self._num_updates)

    def _evaluate(self) -> None:
        """Episodes from published states, once the open chunks have ended; nothing if told to stop."""
        greedy = not self._config.eval.sample
        self._writer.event("evaluating", update=self._num_updates)
        with self._progress.spend("evaluation"):
            self._rollouts.drain(self._mend)
            outcomes = self._rollouts.evaluate(
                self._evaluation_starts,
                name=f"eval-{self._num_updates:06d}",
                greedy=greedy,
                num_recorded=self._config.eval.videos,
                mend=self._mend,
            )
        if outcomes is None:
            return
        self._num_evaluated = self._num_updates
        episodes = [episode_fields(outcome) for outcome in outcomes]
        self._writer.event("evaluation", update=self._num_updates, greedy=greedy, episodes=episodes)
        successes = sum(outcome.success for outcome in outcomes)
        print(f"evaluation after update {self._num_updates}: {successes}/{len(outcomes)} succeed", flush=True)


def tell_damaged(checkpoints: list[str], writer: MetricsWriter) -> None:
    """Checkpoints that were passed over, and why."""
    for damaged in checkpoints:
        writer.event("damaged_checkpoint", reason=damaged)
        print(f"passed over a damaged checkpoint: {damaged}", flush=True)


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0
