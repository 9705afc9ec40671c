"""Training a reward model: balanced answers, progress and preferences, stopped when held-out episodes say so.

In: a network, labelled episodes, options. Out: a reward model folder (the best so far), and beside it what is
needed to go on after an interruption.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.rules import require_positive
from policy.precision import half_products
from policy.sft import build_optimizers, learning_rate
from reward.batches import Batch, BatchSource
from reward.checkpoint import Description, RewardModel
from reward.episodes import Episode
from reward.evaluation import Quality, judge
from reward.losses import balanced_answer_loss, preference_loss, progress_loss
from reward.model import Answers, RewardNetwork

STATE_FILE = "training_state.pt"
PROGRESS_WEIGHT = 0.5
BUDGET = ("minutes", "patience")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How to train."""

    minutes: float = 10.0
    """CPU time to spend at most, over all threads."""
    batch_tasks: int = 6
    """Tasks in a batch, with two episodes of four frames each."""
    lr: float = 2e-3
    seed: int = 0
    check_every: int = 100
    """Steps between two looks at the held-out episodes."""
    patience: int = 10
    """Looks without a better one after which it is enough."""

    def __post_init__(self) -> None:
        require_positive(self, "minutes", "batch_tasks", "lr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the live line shows."""

    step: int
    minutes: float
    loss: float
    quality: Quality
    is_best: bool


def train(
    network: RewardNetwork,
    episodes: Sequence[Episode],
    description: Description,
    out: Path,
    options: TrainOptions,
    report: Callable[[Progress], None],
) -> Quality:
    """Until the budget is spent or held-out episodes are no longer judged better; the best is in `out`."""
    trainer = Trainer(network, episodes, description, options)
    if (out / STATE_FILE).is_file():
        trainer.load(out)
    out.mkdir(parents=True, exist_ok=True)
    while not trainer.is_finished:
        trainer.steps(options.check_every)
        report(trainer.check(out))
        trainer.save(out)
    assert trainer.best is not None
    return trainer.best


class Trainer:
    """Network, optimizer and data of one training run."""

    def __init__(
        self,
        network: RewardNetwork,
        episodes: Sequence[Episode],
        description: Description,
        options: TrainOptions,
    ) -> None:
        self.network, self.description, self.options = network, description, options
        self.source = BatchSource([episode for episode in episodes if not episode.held_out])
        self.held_out = [episode for episode in episodes if episode.held_out]
        if not any(episode.success for episode in self.held_out):
            raise ValueError(
                f"of these {len(episodes)} episodes no success is on the held-out side, which gets one start "
                "in five; record more"
            )
        self.optimizers = build_optimizers(self.parameters())
        self.num_steps = 0
        self.best: Quality | None = None
        self._seconds = 0.0
        self._checks_since_best = 0
        self._losses: list[float] = []

    @property
    def is_finished(self) -> bool:
        return self.share_done >= 1 or self._checks_since_best >= self.options.patience

    @property
    def share_done(self) -> float:
        """How much of the budget is spent, 0..1."""
        return min(self._seconds / 60 / self.options.minutes, 1.0)

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, under the names by which optimizers are chosen."""
        named = self.network.module.named_parameters("policy")
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def steps(self, count: int) -> None:
        """So many steps, or fewer if the budget ends before."""
        self.network.module.train()
        for _ in range(count):
            if self.share_done < 1:
                self.step()

    def step(self) -> None:
        """One optimizer step. Its frames depend on seed and step alone, so a resumed run sees the same."""
        started = time.process_time()
        rng = np.random.default_rng((self.options.seed, self.num_steps))
        batch = self.source.draw(rng, self.options.batch_tasks)
        self.network.module.zero_grad()
        loss = self._loss(batch, self.network.views(batch.frames, rng))
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters().values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.options.lr, self.num_steps, self.share_done)
            optimizer.step()
        self.num_steps += 1
        self._losses.append(loss.item())
        self._seconds += time.process_time() - started

    def check(self, out: Path) -> Progress:
        """Judge held-out episodes; a model better than all before becomes the one in `out`."""
        started = time.process_time()
        self.network.module.eval()
        weights = self.description.weights
        now = judge(RewardModel(network=self.network, weights=weights, version=""), self.held_out)
        is_best = self.best is None or now.summary > self.best.summary
        self._checks_since_best = 0 if is_best else self._checks_since_best + 1
        if is_best:
            self.best = now
            self.network.save(out)
            self.description.write(out)
        loss, self._losses = float(np.mean(self._losses)), []
        self._seconds += time.process_time() - started
        return Progress(
            step=self.num_steps, minutes=self._seconds / 60, loss=loss, quality=now, is_best=is_best
        )

    def save(self, out: Path) -> None:
        """The state from which `load` goes on."""
        state = {
            "options": asdict(self.options),
            "made_from": self._made_from,
            "parameters": {name: parameter.detach() for name, parameter in self.parameters().items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "num_steps": self.num_steps,
            "seconds": self._seconds,
            "best": None if self.best is None else asdict(self.best),
            "checks_since_best": self._checks_since_best,
        }
        partial = out / f"{STATE_FILE}.part"
        torch.save(state, partial)
        partial.replace(out / STATE_FILE)

    def load(self, out: Path) -> None:
        """Go on from what `save` wrote; only the budget may differ."""
        state = torch.load(out / STATE_FILE, weights_only=True)
        self._check_same(out, state)
        parameters = self.parameters()
        with torch.no_grad():
            for name, value in state["parameters"].items():
                parameters[name].copy_(value)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.num_steps, self._seconds = state["num_steps"], state["seconds"]
        self.best = None if state["best"] is None else Quality(**state["best"])
        self._checks_since_best = state["checks_since_best"]

    @property
    def _made_from(self) -> dict[str, Any]:
        """All that its description names: base, data, labels."""
        about = self.description
        return {
            "backend": about.backend.value,
            "base": about.base,
            "view_of": about.view_of,
            **about.training,
        }

    def _check_same(self, out: Path, state: dict[str, Any]) -> None:
        changed = []
        for before, now in ((state["options"], asdict(self.options)), (state["made_from"], self._made_from)):
            changed += [name for name in now if name not in BUDGET and before.get(name) != now[name]]
        if changed:
            raise ValueError(
                f"{out} was trained with other {', '.join(changed)}; use the same, or another folder"
            )

    def _loss(self, batch: Batch, views_BHWC: np.ndarray) -> Tensor:
        device = next(self.network.module.parameters()).device
        with half_products(device.type):
            answers = self.network.answers(views_BHWC, batch.instructions)
        return self._total(answers, batch, device)

    def _total(self, answers: Answers, batch: Batch, device: torch.device) -> Tensor:
        step, done, progress, better, worse = (
            torch.from_numpy(array).to(device)
            for array in (batch.step, batch.done, batch.progress, batch.better, batch.worse)
        )
        loss = balanced_answer_loss(answers.step, step) + balanced_answer_loss(answers.done, done)
        loss = loss + PROGRESS_WEIGHT * progress_loss(answers.progress, progress)
        scores = self.description.weights.score(answers)
        return loss + preference_loss(scores, better, worse)
