"""How often a policy succeeds from LIBERO's published initial states.

In: a sampler (the engine, or anything that submits and steps like it), a processor, environments, starts.
Out: an `EvalReport`: one outcome per episode, rates with Wilson intervals, a table and JSON. Environments and
sampler never wait for each other's slowest: a frame is decided on together with whatever others are there.
"""

import zlib
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.intervals import wilson
from core.types import Decision, EpisodeOutcome, Observation, Start, StateSource, TaskId
from envs.suites import NUM_PUBLISHED_STATES, Task, task
from envs.vector import EnvFailed, EnvPool, EnvReady
from envs.video import write_video
from policy.processing import Processor

CONTROL_HZ = 20
MAX_ATTEMPTS = 3
"""An episode whose environment fails is played again, this often."""
IDLE_WAIT_S = 1.0


class Sampler(Protocol):
    """What an evaluation asks of `policy.engine.Engine`."""

    @property
    def num_waiting(self) -> int: ...
    def submit(self, key: Hashable, observation: Observation, greedy: bool, seed: int) -> None: ...
    def step(self) -> Sequence[tuple[Any, Decision]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """What an evaluation found."""

    outcomes: list[EpisodeOutcome]
    """In the order of the starts."""

    def by_task(self) -> dict[TaskId, list[EpisodeOutcome]]:
        groups: dict[TaskId, list[EpisodeOutcome]] = {}
        for outcome in self.outcomes:
            groups.setdefault(outcome.start.task, []).append(outcome)
        return groups

    def table(self) -> str:
        """One line per task, then all of them."""
        lines = [f"{'task':<20} {'success':>9} {'rate':>6}  95 % interval"]
        lines += [_line(str(task_id), outcomes) for task_id, outcomes in self.by_task().items()]
        return "\n".join([*lines, _line("all", self.outcomes)])

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": _rate(self.outcomes),
            "tasks": {str(task_id): _rate(outcomes) for task_id, outcomes in self.by_task().items()},
            "episodes": [
                {
                    "start": str(outcome.start),
                    "success": outcome.success,
                    "num_steps": outcome.num_steps,
                    "video": outcome.video,
                }
                for outcome in self.outcomes
            ],
        }


def _rate(outcomes: Sequence[EpisodeOutcome]) -> dict[str, Any]:
    successes = sum(outcome.success for outcome in outcomes)
    low, high = wilson(successes, len(outcomes))
    rate = successes / len(outcomes)
    return {"successes": successes, "episodes": len(outcomes), "rate": rate, "interval": [low, high]}


def _line(name: str, outcomes: Sequence[EpisodeOutcome]) -> str:
    found = _rate(outcomes)
    low, high = found["interval"]
    count = f"{found['successes']}/{found['episodes']}"
    return f"{name:<20} {count:>9} {found['rate']:>6.1%}  {low:.1%} to {high:.1%}"


@dataclass(slots=True, kw_only=True)
class _Episode:
    """One initial state and what has been played of it."""

    start: Start
    instruction: str
    record: bool
    attempt: int = 1
    versions: list[int] = field(default_factory=list)
    """Of each decision."""
    total: float = 0.0
    frames: list[np.ndarray] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)

    def video_name(self, success: bool) -> str:
        of, number = self.start.task, self.start.number
        return f"{of.suite}-{of.index}-{number:02d}-{'success' if success else 'failure'}.mp4"


def published_starts(tasks: Sequence[Task], episodes: int) -> list[Start]:
    """The first `episodes` published states of every task."""
    if not 1 <= episodes <= NUM_PUBLISHED_STATES:
        raise ValueError(f"episodes per task is 1 to {NUM_PUBLISHED_STATES} published states, got {episodes}")
    return [
        Start(task=task.id, source=StateSource.PUBLISHED, number=number)
        for task in tasks
        for number in range(episodes)
    ]


def evaluate(
    sampler: Sampler,
    processor: Processor,
    pool: EnvPool,
    starts: Sequence[Start],
    *,
    greedy: bool = True,
    seed: int = 0,
    num_videos: int = 0,
    video_folder: Path | None = None,
    on_outcome: Callable[[EpisodeOutcome, int], None] | None = None,
    wording: Callable[[str], str] = str,
) -> EvalReport:
    """Play every start once; `wording` says how the instruction is put to the policy.

    `num_videos` episodes, spread over all, are written to `video_folder`. `on_outcome` hears of every episode
    that ends, and how many are left.
    """
    filmed = {index * len(starts) // num_videos for index in range(num_videos)}
    plan = [
        _Episode(start=start, instruction=wording(task(start.task).instruction), record=index in filmed)
        for index, start in enumerate(starts)
    ]
    loop = _Loop(sampler, processor, pool, plan, greedy=greedy, seed=seed, video_folder=video_folder)
    outcomes: dict[Start, EpisodeOutcome] = {}
    for outcome in loop.play():
        outcomes[outcome.start] = outcome
        if on_outcome is not None:
            on_outcome(outcome, len(starts) - len(outcomes))
    return EvalReport(outcomes=[outcomes[start] for start in starts])


class _Loop:
    """Drives every environment on its own until the plan is played."""

    def __init__(
        self,
        sampler: Sampler,
        processor: Processor,
        pool: EnvPool,
        plan: Sequence[_Episode],
        *,
        greedy: bool,
        seed: int,
        video_folder: Path | None,
    ) -> None:
        self._sampler, self._processor, self._pool = sampler, processor, pool
        self._greedy, self._seed, self._video_folder = greedy, seed, video_folder
        self._todo = deque(plan)
        self._open: dict[int, _Episode] = {}
        self._questions = count()
        self._asked: dict[int, int] = {}
        """Question to environment; an answer to an episode that was lost finds no entry."""

    def play(self) -> Iterator[EpisodeOutcome]:
        """Outcomes in the order in which episodes end."""
        for env in range(self._pool.num_envs):
            self._begin(env)
        while self._open:
            for event in self._pool.poll(0.0 if self._sampler.num_waiting else IDLE_WAIT_S):
                if isinstance(event, EnvFailed):
                    self._fail(event)
                elif (outcome := self._observe(event)) is not None:
                    yield outcome
                    self._begin(event.env)
            for question, decision in self._sampler.step():
                self._play(question, decision)

    def _begin(self, env: int) -> None:
        """The next episode of the plan, or nothing: then this environment is done."""
        self._open.pop(env, None)
        if self._todo:
            self._open[env] = self._todo.popleft()
            self._pool.reset(env, self._open[env].start)

    def _observe(self, event: EnvReady) -> EpisodeOutcome | None:
        """Ask for the next decision, or find that the episode is over."""
        episode = self._open[event.env]
        if episode.record:
            episode.frames.append(event.frame)
            episode.captions.append(f"{episode.instruction}\nstep {event.info['num_steps']}")
        episode.total += event.reward
        if event.terminated or event.truncated:
            return self._finish(episode, event)
        question = next(self._questions)
        self._asked[question] = event.env
        frame = self._processor.view(event.frame)
        observation = Observation(frame=frame, instruction=episode.instruction)
        self._sampler.submit(question, observation, self._greedy, self._decision_seed(episode))
        return None

    def _play(self, question: int, decision: Decision) -> None:
        env = self._asked.pop(question, None)
        if env is not None:
            self._open[env].versions.append(decision.version)
            self._pool.step(env, self._processor.decode(decision.tokens))

    def _finish(self, episode: _Episode, event: EnvReady) -> EpisodeOutcome:
        outcome = EpisodeOutcome(
            episode_id=str(episode.start),
            start=episode.start,
            success=event.terminated,
            num_steps=event.info["num_steps"],
            episode_return=episode.total,
            min_version=min(episode.versions),
            max_version=max(episode.versions),
        )
        if not episode.record:
            return outcome
        assert self._video_folder is not None
        video = episode.video_name(outcome.success)
        fps = max(1, CONTROL_HZ // self._processor.config.steps_per_decision)
        write_video(self._video_folder / video, episode.frames, episode.captions, fps=fps)
        return replace(outcome, video=video)

    def _fail(self, event: EnvFailed) -> None:
        """Play the lost episode again, in a fresh environment."""
        self._asked = {question: env for question, env in self._asked.items() if env != event.env}
        self._pool.restart(event.env)
        episode = self._open.pop(event.env, None)
        if episode is None:
            return
        if episode.attempt == MAX_ATTEMPTS:
            raise RuntimeError(f"{episode.start} failed {MAX_ATTEMPTS} times; the last time: {event.reason}")
        again = _Episode(
            start=episode.start,
            instruction=episode.instruction,
            record=episode.record,
            attempt=episode.attempt + 1,
        )
        self._todo.appendleft(again)
        self._begin(event.env)

    def _decision_seed(self, episode: _Episode) -> int:
        """Sampling depends on the seed, the start and the decision's number, not on the rest of the batch."""
        return zlib.crc32(f"{self._seed}/{episode.start}/{len(episode.versions)}".encode())
