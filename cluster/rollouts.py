"""The producing half of the loop: who plays what next, and where the chunks go.

In: a fleet's events. Out: grants to the fleet, sealed chunks in the buffer, outcomes in the curriculum.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from actors.evaluator import evaluation, play
from actors.messages import Dropped, Evaluated, Event, Failed, Fleet, Grant, Idle, Sealed
from cluster.buffer import TrajectoryBuffer
from cluster.curriculum import Curriculum
from cluster.parts import Fault
from cluster.progress import Progress
from cluster.scoring import Scoring
from cluster.supervision import Supervisor
from core.metrics import MetricsWriter
from core.types import EpisodeOutcome, Start

POLL_S = 0.02
UNIFORM_WARNING = 25
"""So many groups in a row from which nothing can be learned are worth a word."""


class Rollouts:
    """Keeps every environment busy as long as the buffer has room."""

    def __init__(
        self,
        fleet: Fleet,
        buffer: TrajectoryBuffer[Any],
        curriculum: Curriculum,
        *,
        scoring: Scoring,
        supervisor: Supervisor,
        progress: Progress,
        writer: MetricsWriter,
        attempt: int,
        video_every: int,
    ) -> None:
        self._fleet, self._buffer, self._curriculum = fleet, buffer, curriculum
        self._supervisor, self._progress, self._writer = supervisor, progress, writer
        self._scoring = scoring
        self._attempt = attempt
        """How often the run was resumed; part of episode ids, so that none ever repeats."""
        self._video_every = video_every
        self._asking: OrderedDict[int, Sealed | None] = OrderedDict()
        """Environments that want a slot, longest waiting first: to begin an episode, or to go on."""
        self._group: tuple[int, Start] | None = None
        self._returns: dict[int, list[float]] = defaultdict(list)
        """Of the episodes of groups that are still being played."""
        self._uniform_in_a_row = 0

    def grant(self) -> None:
        """Give slots to those who ask, as long as there is room."""
        while self._asking and self._buffer.has_room():
            env, paused = self._asking.popitem(last=False)
            slot = self._buffer.open()
            self._fleet.go(env, self._begin(slot) if paused is None else _continue(slot, paused))

    def collect(self) -> None:
        """Take in what has happened; waits a moment if nothing has."""
        for event in self._poll():
            match event:
                case Idle():
                    self._asking[event.env] = None
                case Sealed():
                    self._take_in(event)
                case Dropped():
                    self._buffer.drop(event.slot)
                    self._writer.event("dropped", slot=event.slot, env=event.env, reason=event.reason)

    def drain(self, mend: Callable[[], None]) -> None:
        """Let open chunks end without granting new ones."""
        while self._buffer.open_slots and not self._supervisor.told_to_stop:
            mend()
            self.collect()

    def evaluate(
        self,
        starts: list[Start],
        *,
        name: str,
        greedy: bool,
        num_recorded: int,
        mend: Callable[[], None],
    ) -> list[EpisodeOutcome] | None:
        """Use the whole (drained) fleet for these episodes; training episodes that paused are given up.

        None if the run was told to stop meanwhile. `mend` must not raise what is to be survived: nobody else
        knows which environments are idle meanwhile.
        """
        idle = set(self._asking)
        self._asking.clear()

        def poll() -> list[Event]:
            mend()
            return self._poll()

        names = [f"{name}-{number:04d}" for number in range(len(starts))]
        grants = evaluation(starts, names, greedy=greedy, num_recorded=num_recorded)
        outcomes: dict[int, EpisodeOutcome] = {}
        for ended in play(grants, idle=idle, go=self._fleet.go, poll=poll):
            outcomes.update({event.slot: event.outcome for event in ended if isinstance(event, Evaluated)})
            if self._supervisor.told_to_stop:
                break
        self._asking.update(dict.fromkeys(sorted(idle)))
        return [outcomes[n] for n in range(len(starts))] if len(outcomes) == len(starts) else None

    def _poll(self) -> list[Event]:
        events = self._fleet.poll(POLL_S)
        for event in events:
            if isinstance(event, Failed):
                self._supervisor.note(Fault.ENVIRONMENT, event.env, event.reason)
        return events

    def _begin(self, slot: int) -> Grant:
        record = self._video_every > 0 and slot % self._video_every == 0
        return Grant(
            slot=slot, episode_id=f"{self._attempt}-{slot:07d}", start=self._start_of(slot), record=record
        )

    def _start_of(self, slot: int) -> Start:
        """Slots of one group share their start."""
        group = self._buffer.group_of(slot)
        if self._group is None or self._group[0] != group:
            self._group = (group, self._curriculum.next())
        return self._group[1]

    def _take_in(self, event: Sealed) -> None:
        if not self._buffer.seal(event.slot, event.chunk, event.num_decisions):
            return
        self._scoring.sealed(event.slot, event.chunk)
        self._progress.sealed(event)
        if event.outcome is None:
            self._asking[event.env] = event
        else:
            self._curriculum.record(event.outcome)
            self._writer.event("episode", env=event.env, **episode_fields(event.outcome))
            if self._buffer.group_size > 1 and not self._scoring.is_on:
                self._compare(event.slot, event.outcome.episode_return)

    def _compare(self, slot: int, episode_return: float) -> None:
        """Dynamic sampling: a group that all passes or all fails teaches nothing, and makes room for others.

        A reward model tells even failures apart; then only the learner can say which groups are alike.
        """
        group = self._buffer.group_of(slot)
        self._returns[group].append(episode_return)
        if len(self._returns[group]) < self._buffer.group_size:
            return
        returns = self._returns.pop(group)
        if min(returns) < max(returns):
            self._uniform_in_a_row = 0
            return
        self._buffer.discard_group(slot)
        self._uniform_in_a_row += 1
        if self._uniform_in_a_row % UNIFORM_WARNING == 0:
            self._writer.event("uniform_groups", number=self._uniform_in_a_row, episode_return=returns[0])
            print(
                f"{self._uniform_in_a_row} groups in a row all returned {returns[0]:g}: "
                "nothing to learn from; the tasks are too hard or too easy",
                flush=True,
            )


def _continue(slot: int, paused: Sealed) -> Grant:
    return Grant(
        slot=slot, episode_id=paused.episode_id, start=paused.start, continues=True, record=paused.recorded
    )


def episode_fields(outcome: EpisodeOutcome) -> dict[str, Any]:
    """An outcome as plain JSON."""
    return {
        "episode": outcome.episode_id,
        "start": str(outcome.start),
        "success": outcome.success,
        "steps": outcome.num_steps,
        "return": outcome.episode_return,
        "min_version": outcome.min_version,
        "max_version": outcome.max_version,
        "video": outcome.video,
    }
