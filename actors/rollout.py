"""The rollout loop: environments and a policy, joined so that neither waits for the slowest of the other.

In: grants. Out: events, among them sealed trajectory chunks. Each environment is driven on its own:
whenever one has a frame it is sent to the policy, whenever an answer comes its environment steps. There is
no barrier anywhere.
"""

import zlib
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import numpy as np

from actors.episode import Episode
from actors.messages import Dropped, Evaluated, Event, Failed, Grant, Idle, Sealed
from core.types import Decision, EpisodeOutcome, Observation, Start
from envs.vector import EnvFailed, EnvReady


class Environments(Protocol):
    """What the loop needs of `envs.vector.EnvPool`."""

    def reset(self, env: int, start: Start) -> None: ...
    def step(self, env: int, actions: np.ndarray) -> None: ...
    def poll(self, timeout_s: float) -> list[Any]: ...
    def restart(self, env: int) -> None: ...
    def close(self) -> None: ...


class PolicyClient(Protocol):
    """Where decisions come from: an engine in this process, or replicas elsewhere."""

    patience_s: float
    """How long the loop may look elsewhere while answers are outstanding."""

    def submit(self, key: int, observation: Observation, *, greedy: bool, seed: int) -> None:
        """Ask for one decision."""

    def poll(self, timeout_s: float) -> list[tuple[int, Decision]]:
        """Answers that have come, waiting up to `timeout_s` for the first."""


class View(Protocol):
    """What the loop needs of `policy.processing.Processor`."""

    def view(self, raw_frame: np.ndarray) -> np.ndarray: ...
    def decode(self, tokens_A: np.ndarray) -> np.ndarray: ...


class Recorder(Protocol):
    """Where episodes go that somebody wants to look at."""

    def add_frame(self, episode_id: str, frame: np.ndarray, proprio: np.ndarray) -> None: ...
    def add_actions(self, episode_id: str, actions: np.ndarray) -> None: ...
    def finish(self, outcome: EpisodeOutcome, instruction: str, surprise: list[float]) -> EpisodeOutcome: ...
    def discard(self, episode_id: str) -> None: ...
    def close(self) -> None: ...


class RolloutLoop:
    """Drives the environments of one process: a `Fleet` by itself, and what an `EnvActor` wraps."""

    def __init__(
        self,
        envs: Environments,
        policy: PolicyClient,
        view: View,
        *,
        num_envs: int,
        instruction: Callable[[Start], str],
        recorder: Recorder | None = None,
        chunk_decisions: int = 0,
        seed: int = 0,
    ) -> None:
        self._envs = envs
        self._policy = policy
        self._view = view
        self._instruction = instruction
        self._recorder = recorder
        self._chunk_decisions = chunk_decisions
        self._seed = seed
        self._episodes: dict[int, Episode] = {}
        self._keys = count()
        self._asked: dict[int, int] = {}
        """Request key to environment; a late answer to a lost episode finds no entry."""
        self._stepping: set[int] = set()
        self._paused: set[int] = set()
        """Their last chunk is sealed, no grant for the next has come. Their episode may be lost meanwhile."""
        self._events: list[Event] = [Idle(env=env) for env in range(num_envs)]

    def go(self, env: int, grant: Grant) -> None:
        """Begin an episode, or continue the one that waits for this grant."""
        if grant.continues:
            self._continue(env, grant)
            return
        instruction = self._instruction(grant.start)
        if env in self._paused:  # for an evaluation, its episode is given up
            self._paused.remove(env)
            if env in self._episodes:
                self._forget_recording(self._episodes[env])
        self._episodes[env] = Episode(grant=grant, env=env, instruction=instruction)
        self._stepping.add(env)
        self._envs.reset(env, grant.start)

    def poll(self, timeout_s: float) -> list[Event]:
        """One turn of the loop: play the answers that have come, then look at what the environments did."""
        for key, decision in self._policy.poll(timeout_s if self._asked and not self._stepping else 0.0):
            self._play(key, decision)
        for event in self._envs.poll(self._env_timeout(timeout_s)):
            self._stepping.discard(event.env)
            if isinstance(event, EnvFailed):
                self._fail(event)
            else:
                self._observe(event)
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        self._envs.close()
        if self._recorder is not None:
            self._recorder.close()

    def _env_timeout(self, timeout_s: float) -> float:
        if self._events:
            return 0.0
        return min(timeout_s, self._policy.patience_s) if self._asked else timeout_s

    def _continue(self, env: int, grant: Grant) -> None:
        episode = self._episodes.get(env)
        if episode is None or episode.grant.episode_id != grant.episode_id:
            self._events.append(Dropped(env=env, slot=grant.slot, reason="its episode was lost before"))
            if env in self._paused:
                self._free(env)
            return
        episode.grant = grant
        self._paused.remove(env)
        self._ask(episode)

    def _ask(self, episode: Episode) -> None:
        """Send the last frame to the policy."""
        key = next(self._keys)
        self._asked[key] = episode.env
        observation = Observation(frame=episode.frames[-1], instruction=episode.instruction)
        seed = decision_seed(self._seed, episode.grant.slot, episode.num_decisions)
        episode.ask()
        self._policy.submit(key, observation, greedy=episode.grant.greedy, seed=seed)

    def _play(self, key: int, decision: Decision) -> None:
        env = self._asked.pop(key, None)
        if env is None:
            return
        episode, actions = self._episodes[env], self._view.decode(decision.tokens)
        episode.decide(decision)
        if self._recorder is not None and episode.grant.record:
            self._recorder.add_actions(episode.grant.episode_id, actions)
        self._stepping.add(env)
        self._envs.step(env, actions)

    def _observe(self, event: EnvReady) -> None:
        episode = self._episodes[event.env]
        if self._recorder is not None and episode.grant.record:
            self._recorder.add_frame(episode.grant.episode_id, event.frame, event.info["proprio"])
        frame = self._view.view(event.frame)
        if episode.awaits_reward:
            episode.earn(event.reward, event.info["num_steps"] - episode.num_steps)
            if event.terminated or event.truncated:
                self._end(episode, frame, terminated=event.terminated)
                return
            if self._chunk_is_full(episode):
                self._seal(episode, frame, None, terminated=False, truncated=False)
                episode.frames.append(frame)
                self._paused.add(event.env)
                return
        episode.frames.append(frame)
        self._ask(episode)

    def _chunk_is_full(self, episode: Episode) -> bool:
        return len(episode.rewards) == self._chunk_decisions and not episode.grant.evaluate

    def _end(self, episode: Episode, frame: np.ndarray, *, terminated: bool) -> None:
        outcome, grant = episode.outcome(success=terminated), episode.grant
        if self._recorder is not None and grant.record:
            outcome = self._recorder.finish(outcome, episode.instruction, episode.surprise)
        if grant.evaluate:
            self._events.append(Evaluated(env=episode.env, slot=grant.slot, outcome=outcome))
        else:
            self._seal(episode, frame, outcome, terminated=terminated, truncated=not terminated)
        self._free(episode.env)

    def _seal(
        self,
        episode: Episode,
        frame: np.ndarray,
        outcome: EpisodeOutcome | None,
        *,
        terminated: bool,
        truncated: bool,
    ) -> None:
        num_steps, decision_s, step_s = episode.chunk_steps, episode.chunk_decision_s, episode.chunk_step_s
        chunk = episode.seal(frame, terminated=terminated, truncated=truncated)
        sealed = Sealed(
            env=episode.env,
            slot=episode.grant.slot,
            episode_id=episode.grant.episode_id,
            start=episode.grant.start,
            chunk=chunk,
            num_decisions=chunk.num_decisions,
            num_steps=num_steps,
            outcome=outcome,
            recorded=episode.grant.record,
            decision_s=decision_s,
            step_s=step_s,
        )
        self._events.append(sealed)

    def _fail(self, event: EnvFailed) -> None:
        """Drop the open episode and go on with a fresh environment; its late answers will find no entry.

        One without an episode has said already that it is idle, and one that paused that it wants a grant:
        saying more would earn it two. Whoever grants that one more decisions is told then.
        """
        episode = self._episodes.get(event.env)
        self._asked = {key: env for key, env in self._asked.items() if env != event.env}
        self._events.append(Failed(env=event.env, reason=event.reason))
        self._envs.restart(event.env)
        if episode is None:
            return
        self._forget_recording(episode)
        if event.env in self._paused:
            del self._episodes[event.env]
        else:
            self._events.append(Dropped(env=event.env, slot=episode.grant.slot, reason=event.reason))
            self._free(event.env)

    def _forget_recording(self, episode: Episode) -> None:
        if self._recorder is not None and episode.grant.record:
            self._recorder.discard(episode.grant.episode_id)

    def _free(self, env: int) -> None:
        self._episodes.pop(env, None)
        self._paused.discard(env)
        self._events.append(Idle(env=env))


def decision_seed(run_seed: int, slot: int, index: int) -> int:
    """Sampling depends on the run's seed, the slot and the decision, never on who else shares the batch."""
    return zlib.crc32(f"{run_seed}/{slot}/{index}".encode())
