"""The learner: one rank's whole life, in plain Python.

In: trajectory chunks and reward scores. Out: metrics, an adapter for the engines, checkpoints.
With several ranks each holds one of these; all call the same methods, with the same arguments, in step.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from core.config import AdvantageKind, Config, CriticKind
from core.types import Adapter, Observation, RewardScores, TrajectoryChunk
from learner.batch import ModelInputs, RewardFunction, build_batch, environment_rewards
from learner.checkpoint import find_checkpoint, write_checkpoint
from learner.critic import Pass
from learner.distributed import Ranks
from learner.engine import GROUPS, Engine, parameter_groups
from learner.moments import moments
from learner.step_size import StepSize
from learner.update import ppo_update
from learner.window_critic import WindowCritic
from policy.adapter import POLICY_ADAPTER, export_adapter, read_adapter, write_adapter
from policy.processing import Processor

ADAPTER_FOLDER = "adapter"
CRITIC_FILE = "critic.safetensors"
OPTIMIZER_FILE = "training_state/optimizer.safetensors"
WINDOW_FILE = "training_state/window.safetensors"
STATE_FILE = "training_state/state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What one update did."""

    number: int
    """Updates done so far, this one included."""
    version: int
    """Adapter version now; it only counts updates that changed the policy."""
    policy_changed: bool
    """Whether there is a new adapter to publish."""
    metrics: dict[str, float]
    """Names as in `learner.metrics.METRICS`."""
    moments: list[dict[str, Any]]
    """What was thought of every decision of recorded episodes, as `learner.moments` makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a resume found."""

    folder: Path | None
    """The checkpoint that was loaded; None where there was none to load."""
    damaged: list[str]
    """Newer checkpoints that were passed over, and why."""
    extra: dict[str, Any]
    """What the caller had saved with it."""


class Learner:
    """PPO on one policy. `number` counts updates, `version` those that changed the policy."""

    def __init__(
        self,
        engine: Engine,
        processor: Processor,
        config: Config,
        *,
        ranks: Ranks | None = None,
        reward_function: RewardFunction = environment_rewards,
    ) -> None:
        self.engine, self.processor, self.config = engine, processor, config
        self.ranks = ranks or Ranks()
        self.reward_function = reward_function
        self.number = self.version = 0
        self.critic = _window_critic(engine, config)
        self.step_size = StepSize(config.learner.target_kl)

    def update(self, chunks: list[TrajectoryChunk], scores: dict[str, RewardScores]) -> UpdateReport:
        """One PPO update on these chunks."""
        started = time.perf_counter()
        warmup = self.in_warmup
        batch = build_batch(
            chunks, scores, prompt_ids=self.processor.prompt_ids, reward_function=self.reward_function
        )
        metrics, proximal = ppo_update(
            self.engine,
            self.ranks,
            batch,
            self.config,
            number=self.number,
            step_size=None if warmup else self.step_size,
            critic=self.critic,
        )
        lag = self.version - np.concatenate([chunk.versions for chunk in chunks])
        changed = not warmup and "learner/grad_norm" in metrics  # at least one step was taken
        self.number += 1
        self.version += changed
        seconds = time.perf_counter() - started
        return UpdateReport(
            number=self.number,
            version=self.version,
            policy_changed=changed,
            metrics=metrics
            | {
                "learner/lag_mean": float(lag.mean()),
                "learner/lag_max": float(lag.max()),
                "learner/warmup": float(warmup),
                "learner/decisions_per_s": metrics["learner/decisions"] / seconds,
                "time/update_s": seconds,
            },
            moments=moments(batch, proximal, scores, self.config.advantage.kind),
        )

    @property
    def in_warmup(self) -> bool:
        """Whether the next update trains the critic alone. Counted in updates: a resume keeps count."""
        has_critic = self.config.advantage.kind is AdvantageKind.GAE
        return has_critic and self.number < self.config.critic.warmup_updates

    def adapter(self) -> Adapter:
        """The policy's LoRA tensors, as the engines take them; a collective."""
        with self.engine.whole_parameters():
            return export_adapter(self.engine.model.policy, self.version)

    def probe(self, observations: list[Observation], tokens: np.ndarray) -> np.ndarray:
        """(B, A) log-probabilities of these tokens now: an engine with the same adapter must say the same."""
        inputs = ModelInputs(
            prompts=[self.processor.prompt_ids(observation.instruction) for observation in observations],
            frames=np.stack([observation.frame for observation in observations]),
            tokens=tokens,
        )
        with torch.no_grad():
            logprobs = self.engine(inputs, Pass.PROBE)["logprobs"]
        return logprobs.float().cpu().numpy()

    def save(self, root: Path, extra: dict[str, Any], *, keep: int) -> None:
        """Write `root/{number:06d}`; a collective, rank 0 writes. `extra` is any JSON of the caller's.

        Where writing fails, the other ranks do not wait for it: rank 0 alone raises.
        """
        contents = _Contents(
            adapter=self.adapter(),
            critic=self._critic_tensors(),
            optimizer=self.engine.optimizer_state(),
            window={} if self.critic is None else self.critic.state(),
            state={
                "number": self.number,
                "version": self.version,
                "step_size": self.step_size.first,
                "extra": extra,
            },
        )
        try:
            if self.ranks.rank == 0:
                write_checkpoint(root, self.number, contents.write, keep=keep)
        finally:
            self.ranks.wait_for_all()

    def load(self, root: Path) -> LoadReport:
        """Continue from the newest checkpoint that is whole; a collective."""
        found = find_checkpoint(root)
        self._check_all_found(found.folder)
        if found.folder is None:
            return LoadReport(folder=None, damaged=found.damaged, extra={})
        contents = _Contents.read(found.folder)
        self._check_same_parameters(found.folder, contents.adapter, contents.optimizer)
        self._check_no_second_warmup(contents.state)
        self.engine.load_parameters({**_parameter_names(contents.adapter), **contents.critic})
        self.engine.load_optimizer_state(contents.optimizer)
        if self.critic is not None:
            self.critic.load(contents.window)
        self.number, self.version = contents.state["number"], contents.state["version"]
        self.step_size.first = contents.state["step_size"]
        return LoadReport(folder=found.folder, damaged=found.damaged, extra=contents.state["extra"])

    def _check_same_parameters(
        self, folder: Path, adapter: Adapter, optimizer: dict[str, torch.Tensor]
    ) -> None:
        mine = {name for group in parameter_groups(self.engine.model).values() for name in group}
        saved = {key.rsplit("/", 1)[0] for key in optimizer} - set(GROUPS)
        has_window = (folder / WINDOW_FILE).is_file()
        if mine != saved or has_window != (self.critic is not None):
            raise ValueError(
                f"{folder} trained {len(saved)} parameters, these settings train {len(mine)} others; "
                "critic.kind and learner.train_vision must stay as the run began"
            )
        mine_lora, saved_lora = self._lora(), (adapter.rank, adapter.alpha)
        if mine_lora != saved_lora:
            raise ValueError(
                f"{folder} has LoRA of rank and alpha {saved_lora}, these settings {mine_lora}; "
                "policy.lora_rank and policy.lora_alpha must stay as the run began"
            )

    def _check_no_second_warmup(self, state: dict[str, Any]) -> None:
        warmup, number = self.config.critic.warmup_updates, state["number"]
        if state["version"] > 0 and number < warmup:
            raise ValueError(
                f"critic.warmup_updates={warmup}: after update {number} the policy is being trained already; "
                f"at most {number} from here on"
            )

    def _lora(self) -> tuple[int, float]:
        chosen = self.engine.model.policy.peft_config[POLICY_ADAPTER]
        return chosen.r, chosen.lora_alpha

    def _check_all_found(self, folder: Path | None) -> None:
        number = -1 if folder is None else int(folder.name)
        mean = self.ranks.sum(np.array([float(number)]))[0] / self.ranks.size
        if mean != number:
            raise ValueError(
                f"learner rank {self.ranks.rank} found checkpoint {folder}, others found another; "
                "run.runs_dir must be on a file system that all learner nodes share"
            )

    def _critic_tensors(self) -> dict[str, torch.Tensor]:
        with self.engine.whole_parameters():
            parameters = self.engine.model.critic_parameters()
            return {name: p.detach().cpu().clone() for name, p in parameters.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """What a checkpoint holds, in memory."""

    adapter: Adapter
    critic: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    window: dict[str, torch.Tensor]
    """Of a critic that stands beside the policy; else empty."""
    state: dict[str, Any]

    def write(self, folder: Path) -> None:
        (folder / STATE_FILE).parent.mkdir()
        write_adapter(folder / ADAPTER_FOLDER, self.adapter)
        save_file(self.critic, folder / CRITIC_FILE)
        save_file(self.optimizer, folder / OPTIMIZER_FILE)
        if self.window:
            save_file(self.window, folder / WINDOW_FILE)
        (folder / STATE_FILE).write_text(json.dumps(self.state, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "_Contents":
        return cls(
            adapter=read_adapter(folder / ADAPTER_FOLDER),
            critic=load_file(folder / CRITIC_FILE),
            optimizer=load_file(folder / OPTIMIZER_FILE),
            window=load_file(folder / WINDOW_FILE) if (folder / WINDOW_FILE).is_file() else {},
            state=json.loads((folder / STATE_FILE).read_text()),
        )


def _window_critic(engine: Engine, config: Config) -> WindowCritic | None:
    """The critic that stands beside the policy, where the configuration asks for it."""
    if config.advantage.kind is not AdvantageKind.GAE or config.critic.kind is not CriticKind.POOLED:
        return None
    width = engine.model.policy.config.text_config.hidden_size
    return WindowCritic(
        width, config.critic, minibatch_size=config.learner.minibatch_size, seed=config.run.seed
    )


def _parameter_names(adapter: Adapter) -> dict[str, torch.Tensor]:
    """An adapter's tensors under the names they have inside `ActorCritic`."""
    return {
        "policy." + name.replace(".weight", f".{POLICY_ADAPTER}.weight"): torch.from_numpy(array)
        for name, array in adapter.tensors.items()
    }
