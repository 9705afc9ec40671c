"""Imitation: a policy, whole or by LoRA, trained on demonstrations until a budget of CPU time is spent.

In: a policy folder, HDF5 files in LIBERO's layout, options. Out: a policy folder that also knows its action
statistics, and beside it what is needed to go on after an interruption.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.rules import require_positive
from policy.adapter import add_lora, export_adapter, merge_adapter
from policy.augment import random_views
from policy.checkpoint import load_config, load_model, save_policy
from policy.imitation_data import Batch, Episode, ImitationData, action_statistics, read_episodes
from policy.imitation_loss import AuxiliaryHeads, soft_cross_entropy
from policy.model import pad_prompts
from policy.precision import half_products
from policy.processing import Processor, load_tokenizer
from policy.tokens import ActionStatistics

STATE_FILE = "training_state.pt"
HELD_OUT_EVERY = 25
"""One episode of so many is kept for validation."""
VALIDATION_EXAMPLES = 256
WARMUP_STEPS = 50
NO_MATRICES = ("heads.", "policy.language_model.model.embed_tokens", "policy.language_model.lm_head")
BUDGET = ("minutes", "steps")
FINAL_LR_SHARE = 0.02
WEIGHT_DECAY = 0.01
LABEL_SIGMA = 4.0
"""Width of the soft labels, in bins. If narrow, rare but always equal actions win over varied ones."""
MAX_SHIFT = 2
"""Pixels of the render that a training picture may be moved by."""
FRAME_STRIDE = 2
"""Every how many steps of a demonstration there is an example."""
LORA_ALPHA = 16.0
SAVE_EVERY_MINUTES = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SftOptions:
    """How to imitate."""

    minutes: float = 60.0
    """CPU time to spend, over all threads."""
    steps: int = 0
    """Optimizer steps to take instead, which repeats to the last bit; 0 = by time."""
    batch_size: int = 32
    lr: float = 2e-3
    lora_rank: int = 0
    """0 trains everything."""
    seed: int = 0
    report_every: int = 100

    def __post_init__(self) -> None:
        require_positive(self, "minutes", "batch_size", "lr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the live line shows: means since the last one."""

    step: int
    minutes: float
    """CPU-minutes spent."""
    examples_per_s: float
    loss: float
    first_error: float
    """Mean absolute error of the first step's translation on held-out episodes; actions span -1..1."""
    grip_errors: float
    """Share of wrong gripper commands on held-out episodes."""


def train(
    start: Path,
    files: list[Path],
    out: Path,
    name: str,
    options: SftOptions,
    report: Callable[[Progress], None],
) -> None:
    """Imitate the demonstrations of `files`, from the policy in `start` on; `name` keys the statistics."""
    if start.resolve() == out.resolve():
        raise ValueError(f"{out} would be overwritten by what is learned from it: give another folder")
    torch.manual_seed(options.seed)
    cameras = load_config(start).cameras
    episodes = list(read_episodes(files, FRAME_STRIDE, cameras))
    trainer = Trainer(start, episodes, name, options)
    if (out / STATE_FILE).is_file():
        trainer.load(out)
    saved_at = trainer.minutes
    while trainer.share_done < 1:
        trainer.steps(options.report_every)
        report(trainer.progress())
        if trainer.minutes - saved_at > SAVE_EVERY_MINUTES:
            trainer.save(out)
            saved_at = trainer.minutes
    trainer.save(out)


def build_optimizers(parameters: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
    """Muon for the network's matrices, AdamW for everything else; the caller sets the learning rate.

    Muon reached the same loss in half the steps. It is for whole matrices: not for embeddings, whose rows are
    seldom touched, nor for LoRA factors.
    """
    matrices = {name for name, p in parameters.items() if p.ndim == 2 and not name.startswith(NO_MATRICES)}
    matrices = {name for name in matrices if "lora_" not in name}
    rest = [p for name, p in parameters.items() if name not in matrices]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.95), fused=True)
    ]
    if matrices:
        chosen = [parameters[name] for name in sorted(matrices)]
        optimizers.append(torch.optim.Muon(chosen, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def learning_rate(peak: float, num_steps: int, share_done: float) -> float:
    """Linear warm-up, then half a cosine over the budget."""
    cosine = FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * 0.5 * (1 + math.cos(math.pi * share_done))
    return peak * cosine * min(1.0, (num_steps + 1) / WARMUP_STEPS)


class Trainer:
    """The policy, its auxiliary heads, the optimizer and the data of one imitation run."""

    def __init__(self, start: Path, episodes: list[Episode], name: str, options: SftOptions) -> None:
        if len(episodes) < 2:
            raise ValueError(
                f"successful demonstrations in these files: {len(episodes)}; at least 2 are needed, "
                f"for one of every {HELD_OUT_EVERY} is kept to judge by"
            )
        self.options, self.start = options, start
        self.data_statistics = action_statistics(episodes, name)
        self.config = load_config(start)
        # A policy that knows this data keeps its scaling: its tokens mean what they meant.
        self.norm_stats = self.data_statistics | (self.config.norm_stats or {})
        statistics = ActionStatistics.from_json(self.norm_stats[name]["action"])
        processor = Processor(self.config, load_tokenizer(start), statistics)
        held_out = episodes[::HELD_OUT_EVERY]
        self.data = ImitationData([e for i, e in enumerate(episodes) if i % HELD_OUT_EVERY], processor)
        self.held_out = ImitationData(held_out, processor)
        model = load_model(start, self.config, torch.float32)
        vision = model.vision_backbone
        self.heads = AuxiliaryHeads(vision.num_patches, vision.dim, self.config.language.hidden_size)
        self.model = self._trainable(model)
        self.optimizers = build_optimizers(self.parameters())
        self.num_steps, self._seconds = 0, 0.0
        self._losses: list[float] = []
        self._reported = (time.process_time(), 0)

    @property
    def minutes(self) -> float:
        """CPU-minutes of training so far, interruptions not counted."""
        return self._seconds / 60

    @property
    def share_done(self) -> float:
        """How much of the budget is spent, 0..1."""
        if self.options.steps:
            return min(self.num_steps / self.options.steps, 1.0)
        return min(self.minutes / self.options.minutes, 1.0)

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        named = [*self.model.named_parameters("policy"), *self.heads.named_parameters("heads")]
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def steps(self, count: int) -> None:
        """So many steps, or fewer if the budget ends before."""
        for _ in range(count):
            if self.share_done < 1:
                self.step()

    def step(self) -> None:
        """One optimizer step. Its examples depend on seed and step alone, so a resumed run sees the same."""
        started = time.process_time()
        rng = np.random.default_rng((self.options.seed, self.num_steps))
        batch = self.data.batch(rng.integers(len(self.data), size=self.options.batch_size))
        views = random_views(batch.frames, self.config, rng, MAX_SHIFT)
        self.model.zero_grad()
        self.heads.zero_grad()
        loss = self._loss(batch, views)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters().values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.options.lr, self.num_steps, self.share_done)
            optimizer.step()
        self.num_steps += 1
        self._losses.append(loss.item())
        self._seconds += time.process_time() - started

    def progress(self) -> Progress:
        """Figures since the last call."""
        now, steps = time.process_time(), self.num_steps
        seconds, done = now - self._reported[0], steps - self._reported[1]
        first_error, grip_errors = self._validate()
        loss, self._losses = float(np.mean(self._losses)), []
        self._reported = (time.process_time(), steps)
        return Progress(
            step=steps,
            minutes=self.minutes,
            examples_per_s=done * self.options.batch_size / seconds,
            loss=loss,
            first_error=first_error,
            grip_errors=grip_errors,
        )

    def save(self, out: Path) -> None:
        """A policy folder that works as it is, and the state from which `load` goes on."""
        save_policy(out, self._whole_model(), tokenizer_from=self.start, norm_stats=self.norm_stats)
        state = {
            "options": asdict(self.options),
            "start": str(self.start),
            "data": self.data_statistics,
            "parameters": {name: parameter.detach() for name, parameter in self.parameters().items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "num_steps": self.num_steps,
            "seconds": self._seconds,
        }
        partial = out / f"{STATE_FILE}.part"
        torch.save(state, partial)
        partial.replace(out / STATE_FILE)

    def load(self, out: Path) -> None:
        """Go on from what `save` wrote; only the budget may differ."""
        state = torch.load(out / STATE_FILE, weights_only=True)
        saved, now = state["options"], asdict(self.options)
        changed = [key for key in now if key not in BUDGET and saved.get(key) != now[key]]
        changed += ["start"] * (state["start"] != str(self.start))
        changed += ["demonstrations"] * (state["data"] != self.data_statistics)
        if changed:
            raise ValueError(
                f"{out} was trained with other {', '.join(changed)}; use the same, or another folder"
            )
        parameters = self.parameters()
        with torch.no_grad():
            for key, value in state["parameters"].items():
                parameters[key].copy_(value)
        for optimizer, saved_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        self.num_steps, self._seconds = state["num_steps"], state["seconds"]
        self._reported = (time.process_time(), self.num_steps)

    def _trainable(self, model: nn.Module) -> nn.Module:
        # Eager attention trains 1.5 times faster than the fused kernel on a CPU at these sizes.
        model.set_attn_implementation("eager")
        model.train()
        if self.options.lora_rank == 0:
            return model
        return add_lora(model, rank=self.options.lora_rank, alpha=LORA_ALPHA)

    def _whole_model(self) -> nn.Module:
        """The policy as it is saved: with its LoRA merged, if it has one."""
        if self.options.lora_rank == 0:
            return self.model
        merged = load_model(self.start, self.config, torch.float32)
        merge_adapter(merged, export_adapter(self.model, version=0))
        return merged

    def _loss(self, batch: Batch, views_BHWC: np.ndarray) -> Tensor:
        with half_products("cpu"):
            output = self._run(batch, views_BHWC)
            pose, next_grip = self.heads(output.features, output.hidden[:, 0])
        labels = torch.from_numpy(batch.tokens) - self.config.action_ids.start
        loss = soft_cross_entropy(output.logits, labels, LABEL_SIGMA)
        smooth = nn.functional.smooth_l1_loss
        loss = loss + smooth(pose.float(), torch.from_numpy(batch.pose))
        return loss + smooth(next_grip.float(), torch.from_numpy(batch.next_grip))

    def _run(self, batch: Batch, views_BHWC: np.ndarray) -> Any:
        return self.model(
            input_ids=pad_prompts(batch.prompts, self.config.pad_token_id),
            frames=torch.from_numpy(views_BHWC),
            action_tokens=torch.from_numpy(batch.tokens),
        )

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """First translation's error and wrong gripper commands, teacher-forced, on the policy's own views."""
        errors, wrong = [], []
        rows = np.linspace(0, len(self.held_out) - 1, VALIDATION_EXAMPLES).astype(int)
        for part in np.array_split(rows, max(1, VALIDATION_EXAMPLES // self.options.batch_size)):
            batch = self.held_out.batch(part)
            views = np.stack([self.held_out.processor.view(frame) for frame in batch.frames])
            with half_products("cpu"):
                guessed = self._run(batch, views).logits.argmax(dim=-1).numpy() + self.config.action_ids.start
            tokens = self.held_out.processor.action_tokens
            difference = (tokens.decode(guessed) - tokens.decode(batch.tokens)).reshape(len(part), -1, 7)
            errors.append(np.abs(difference[:, 0, :3]).mean())
            wrong.append((np.abs(difference[:, :, 6]) > 0.5).mean())
        return float(np.mean(errors)), float(np.mean(wrong))
