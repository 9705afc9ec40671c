"""Run folders made by a generator, in the form that real runs write: as large and as odd as a test wants.

In: how many updates, episodes and tasks, and what is to go wrong. Out: a run folder. The numbers tell a
plausible story (success rises, entropy falls), so that screenshots look like a run.
"""

import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.config import Config
from core.settings import save
from envs.video import write_video

START = 1_790_000_000.0
INTERVAL_S = 20.0
NUM_DECISIONS = 40
INSTRUCTION = "pick up the black bowl next to the plate and place it on the plate"


@dataclass(kw_only=True)
class Story:
    """What a made-up run is like."""

    num_updates: int = 120
    num_episodes: int = 1200
    num_tasks: int = 10
    video_every: int = 20
    gain: float = 0.55
    """How much success rises from beginning to end."""
    now: float = START + 1e6
    """When its last line was written."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Overrides: name to a value, or to a function of the progress from 0 to 1."""
    ended: bool = True
    seed: int = 0
    film: Path | None = None
    """A video to show for every episode, instead of a drawn one."""


class SyntheticRun:
    """Writes a run folder, and goes on writing it line by line."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.folder, self.story = folder, story
        self.rng = np.random.default_rng(story.seed)
        (folder / "episodes").mkdir(parents=True)
        config = Config()
        config.run.name, config.run.num_updates = folder.name, story.num_updates
        config.policy.checkpoint = "demo/policy"
        save(config, folder / "config.yaml")
        self.num_episodes = 0
        self._begin = story.now - story.num_updates * INTERVAL_S

    def write(self) -> "SyntheticRun":
        """The whole story."""
        story = self.story
        tasks = {self.task(index): INSTRUCTION for index in range(story.num_tasks)}
        with self._open("metrics.jsonl") as metrics, self._open("events.jsonl") as events:
            events.write(_line(self.event(0, "started", update=0, tasks=tasks)))
            events.write(_line(self.evaluation(0)))
            for update in range(1, story.num_updates + 1):
                until = story.num_episodes * update // story.num_updates
                for _ in range(until - self.num_episodes):
                    events.writelines(map(_line, self.episode(update - 1)))
                events.write(_line(self.event(update, "trained", update=update, slots=[update])))
                metrics.write(_line(self.scalars(update)))
            events.write(_line(self.evaluation(story.num_updates)))
            if story.ended:
                events.write(_line(self.event(story.num_updates, "ended", complete=True)))
        return self

    def append(self, file: str, line: dict[str, Any]) -> None:
        """One more line, as the run would write it."""
        with self._open(file) as stream:
            stream.write(_line(line))

    def task(self, index: int) -> str:
        return f"libero_spatial/{index}"

    def event(self, at: int, kind: str, /, **fields: Any) -> dict[str, Any]:
        return {"time": self._begin + at * INTERVAL_S, "kind": kind, **fields}

    def evaluation(self, update: int) -> dict[str, Any]:
        """Ten greedy episodes per task, the first two filmed."""
        episodes = []
        for index in range(self.story.num_tasks):
            for number in range(10):
                name = f"eval-{update:06d}-{index * 10 + number:04d}"
                success = bool(self.rng.random() < self._rate(update, index) + 0.05)
                video = self._video(name, success) if number + index == 0 else None
                start = f"{self.task(index)}/published-{number}"
                episodes.append(self._outcome(name, start, update, success, video))
        return self.event(update, "evaluation", update=update, greedy=True, episodes=episodes)

    def episode(self, update: int) -> list[dict[str, Any]]:
        """A training episode's lines: its outcome, and what was thought of its moments if it was filmed."""
        number, index = self.num_episodes, int(self.rng.integers(self.story.num_tasks))
        self.num_episodes += 1
        name = f"0-{number:07d}"
        success = bool(self.rng.random() < self._rate(update, index))
        filmed = self.story.video_every > 0 and number % self.story.video_every == 0
        video = self._video(name, success) if filmed else None
        start = f"{self.task(index)}/fresh-{number}"
        lines = [self.event(update, "episode", **self._outcome(name, start, update, success, video))]
        if filmed:
            lines.append(self.event(update, "moments", episode=name, chunk=0, **self.moments(success)))
        return lines

    def scalars(self, update: int) -> dict[str, Any]:
        """An update's line, every name of a real one."""
        progress = update / self.story.num_updates
        values = _healthy(progress, self._mean_rate(update), self.rng)
        for index in range(self.story.num_tasks):
            rate = self._rate(update, index)
            values[f"curriculum/success/{self.task(index)}"] = rate
            values[f"curriculum/weight/{self.task(index)}"] = math.exp(-((rate - 0.5) ** 2) / 0.08)
        total = sum(value for name, value in values.items() if name.startswith("curriculum/weight/"))
        values |= {n: v / total for n, v in values.items() if n.startswith("curriculum/weight/")}
        values |= {name: v(progress) if callable(v) else v for name, v in self.story.metrics.items()}
        return {"update": update, "time": self._begin + update * INTERVAL_S, **values}

    def moments(self, success: bool) -> dict[str, list[float]]:
        """Score and value rise towards a success and stall before a failure; entropy peaks at the grasp."""
        at = np.linspace(0, 1, NUM_DECISIONS)
        reach = at if success else np.minimum(at, 0.45) - 0.25 * np.maximum(at - 0.6, 0)
        noise = self.rng.normal(0, 0.015, (3, NUM_DECISIONS))
        score = np.clip(reach**1.3 + noise[0], 0, 1)
        value = np.clip(0.25 + 0.65 * reach + noise[1], 0, 1)
        entropy = 1.2 + 0.9 * np.exp(-((at - 0.45) ** 2) / 0.01) - 0.4 * at + 2 * noise[2]
        said = {"rprm_score": score, "value": value, "entropy": entropy}
        return {name: [round(float(x), 4) for x in values] for name, values in said.items()}

    def _rate(self, update: int, index: int) -> float:
        progress = update / self.story.num_updates
        ease = 0.7 - 0.6 * index / max(1, self.story.num_tasks - 1)
        return float(np.clip(0.08 + 0.25 * ease + self.story.gain * progress * (0.4 + ease), 0.01, 0.98))

    def _mean_rate(self, update: int) -> float:
        return float(np.mean([self._rate(update, index) for index in range(self.story.num_tasks)]))

    def _outcome(
        self, name: str, start: str, update: int, success: bool, video: str | None
    ) -> dict[str, Any]:
        return {
            "episode": name,
            "start": start,
            "success": success,
            "steps": int(self.rng.integers(80, 170)) if success else 220,
            "return": float(success),
            "min_version": max(0, update - 1),
            "max_version": update,
            "video": video,
        }

    def _video(self, name: str, success: bool) -> str:
        about = {"episode": name, "instruction": INSTRUCTION, "success": success}
        about |= {"surprise": self.moments(success)["entropy"]}
        (self.folder / "episodes" / f"{name}.json").write_text(json.dumps(about))
        shutil.copyfile(self._film(success), self.folder / "episodes" / f"{name}.mp4")
        return f"episodes/{name}.mp4"

    def _film(self, success: bool) -> Path:
        """One video for all successes and one for all failures: what is in them matters to nobody."""
        if self.story.film is not None:
            return self.story.film
        path = self.folder / f"film-{success}.mp4"
        if not path.is_file():
            write_video(path, _frames(success), ["made up\nfor a test"] * (NUM_DECISIONS + 1), fps=10)
        return path

    def _open(self, name: str) -> Any:
        return (self.folder / name).open("a")


def _frames(success: bool) -> list[np.ndarray]:
    """A square that is carried to a plate, or dropped on the way."""
    frames = []
    for number in range(NUM_DECISIONS + 1):
        at = number / NUM_DECISIONS if success else min(number / NUM_DECISIONS, 0.5)
        frame = np.full((128, 128, 3), (92, 84, 76), np.uint8)
        frame[84:96, 88:120] = (226, 222, 214)
        x, y = int(16 + 80 * at), int(84 - 50 * math.sin(math.pi * at) * success)
        frame[y - 12 : y, x : x + 16] = (38, 38, 42)
        frames.append(frame)
    return frames


def _healthy(progress: float, success: float, rng: np.random.Generator) -> dict[str, float]:
    noise = rng.normal(0, 1, 16)
    return {
        "rollout/success": float(np.clip(success + 0.06 * noise[0], 0, 1)),
        "rollout/return": float(np.clip(success + 0.06 * noise[0], 0, 1)),
        "rollout/episode_steps": 205 - 70 * success + 4 * noise[1],
        "rollout/episodes": 10.0,
        "rollout/env_steps_per_s": 180 + 9 * noise[2],
        "rollout/decisions_per_s": 45 + 2.2 * noise[2],
        "rollout/decision_s": 0.09 + 0.004 * noise[3],
        "rollout/step_s": 0.055 + 0.003 * noise[3],
        "buffer/waiting": 320 + 90 * abs(noise[4]),
        "buffer/reserved": 1100 + 60 * noise[4],
        "buffer/refused": 0.0,
        "buffer/chunks_lost": 0.0,
        "learner/policy_loss": -0.01 + 0.004 * noise[5],
        "learner/value_loss": 0.08 - 0.05 * progress + 0.006 * noise[5],
        "learner/entropy": 2.1 - 0.7 * progress + 0.04 * noise[6],
        "learner/kl": 0.011 + 0.002 * abs(noise[7]),
        "learner/clip_fraction_low": 0.05 + 0.01 * abs(noise[8]),
        "learner/clip_fraction_high": 0.04 + 0.01 * abs(noise[9]),
        "learner/importance_weight": 1.0 + 0.002 * noise[10],
        "learner/importance_capped": 0.001 * abs(noise[10]),
        "learner/grad_norm": 0.8 + 0.2 * abs(noise[11]),
        "learner/steps_skipped": 0.0,
        "learner/decisions": 520.0,
        "learner/decisions_quarantined": 0.0,
        "learner/explained_variance": 0.1 + 0.6 * progress + 0.05 * noise[12],
        "learner/value": 0.2 + 0.5 * success,
        "learner/return": 0.2 + 0.5 * success + 0.02 * noise[13],
        "learner/lag_mean": 0.9 + 0.1 * noise[14],
        "learner/lag_max": 2.0 if noise[14] > 0 else 1.0,
        "learner/warmup": 0.0,
        "learner/decisions_per_s": 61 + 2 * noise[15],
        "weights/version": float(round(progress * 100)),
        "weights/probe_error": 1e-4 * (1 + 0.2 * abs(noise[0])),
        "weights/probe_change": 0.02 + 0.005 * abs(noise[1]),
        "time/interval_s": INTERVAL_S + noise[2],
        "time/update_s": 8.4 + 0.3 * noise[3],
        "time/publish_s": 0.3,
        "time/checkpoint_s": 0.2,
        "memory/controller_mb": 480.0,
        "faults/environment": float(progress > 0.6),
        "faults/env_actor": 0.0,
        "faults/replica": 0.0,
        "faults/learner": 0.0,
        "faults/node": 0.0,
    }


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields) + "\n"
