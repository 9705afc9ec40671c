"""One episode while it is played: collects decisions and seals them into chunks.

In: frames, decisions and rewards in the order they happen. Out: `TrajectoryChunk`s and the
`EpisodeOutcome`.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from actors.messages import Grant
from core.types import Decision, EpisodeOutcome, TrajectoryChunk


@dataclass(slots=True, kw_only=True)
class Episode:
    """An open episode of one environment."""

    grant: Grant
    instruction: str
    env: int
    index: int = 0
    """Of the chunk being made."""
    frames: list[np.ndarray] = field(default_factory=list)
    """What each decision saw; one more than `decisions` while the next is being made."""
    decisions: list[Decision] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    chunk_steps: int = 0
    chunk_decision_s: float = 0.0
    chunk_step_s: float = 0.0
    num_decisions: int = 0
    num_steps: int = 0
    episode_return: float = 0.0
    versions: tuple[int, int] | None = None
    surprise: list[float] = field(default_factory=list)
    """Per decision: minus the mean log-probability of its tokens; on average their entropy."""
    since: float = 0.0
    """When the decision that is awaited was asked for, or the one that is played was made."""

    @property
    def awaits_reward(self) -> bool:
        """Whether a decision is being played, as against the episode's first frame being made."""
        return len(self.decisions) > len(self.rewards)

    def ask(self) -> None:
        """A decision is asked for now."""
        self.since = time.perf_counter()

    def decide(self, decision: Decision) -> None:
        """The policy's answer to the last frame."""
        self.chunk_decision_s += self._lap()
        self.surprise.append(-float(decision.logprobs.mean()))
        self.decisions.append(decision)
        low, high = self.versions or (decision.version, decision.version)
        self.versions = (min(low, decision.version), max(high, decision.version))

    def earn(self, reward: float, num_steps: int) -> None:
        """What the last decision brought, over the environment steps it took."""
        self.chunk_step_s += self._lap()
        self.rewards.append(reward)
        self.num_decisions += 1
        self.chunk_steps += num_steps
        self.num_steps += num_steps
        self.episode_return += reward

    def seal(self, last_frame: np.ndarray, *, terminated: bool, truncated: bool) -> TrajectoryChunk:
        """Everything since the last seal; `last_frame` is what followed the last decision."""
        chunk = TrajectoryChunk(
            id=f"{self.grant.episode_id}/{self.index}",
            episode_id=self.grant.episode_id,
            index=self.index,
            first_decision=self.num_decisions - len(self.rewards),
            start=self.grant.start,
            instruction=self.instruction,
            frames=np.stack(self.frames),
            tokens=np.stack([d.tokens for d in self.decisions]),
            logprobs=np.stack([d.logprobs for d in self.decisions]),
            versions=np.array([d.version for d in self.decisions], np.int64),
            rewards=np.array(self.rewards, np.float32),
            terminated=terminated,
            truncated=truncated,
            bootstrap_frame=None if terminated else last_frame,
            recorded=self.grant.record,
        )
        self.index += 1
        self.chunk_steps = 0
        self.chunk_decision_s = self.chunk_step_s = 0.0
        for collected in (self.frames, self.decisions, self.rewards):
            collected.clear()
        return chunk

    def outcome(self, success: bool) -> EpisodeOutcome:
        """How it went, once it is over."""
        assert self.versions is not None, "an episode without decisions cannot end"
        return EpisodeOutcome(
            episode_id=self.grant.episode_id,
            start=self.grant.start,
            success=success,
            num_steps=self.num_steps,
            episode_return=self.episode_return,
            min_version=self.versions[0],
            max_version=self.versions[1],
        )

    def _lap(self) -> float:
        """Seconds since the last thing that was awaited."""
        before, self.since = self.since, time.perf_counter()
        return self.since - before
