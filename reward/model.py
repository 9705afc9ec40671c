"""The process reward model, whatever network answers: what it is asked, and how answers become a score.

In: frames and instructions. Out: `Answers`, and from them one score per frame.

A model is asked three things about a frame, in one forward pass: has a sub-task just been reached, is the
whole task done (the probability of "yes" over that of "no"), and how far is the task (a distribution over
levels of progress). All are read from token probabilities; nothing is ever parsed.
Shape letters: B frames, P levels of progress, H W picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Answers:
    """Logits, so that losses are exact."""

    step: Tensor
    """(B,) log-odds of "a sub-task has just been reached"."""
    done: Tensor
    """(B,) log-odds of "the task is done"."""
    progress: Tensor
    """(B, P) logits over levels evenly spaced from 0 to 1."""

    def expected_progress(self) -> Tensor:
        """(B,) in 0..1."""
        levels_P = torch.linspace(0, 1, self.progress.shape[-1], device=self.progress.device)
        return self.progress.float().softmax(dim=-1) @ levels_P


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreWeights:
    """How much of a score each answer makes up; they add to 1. Stored with the model that they suit."""

    step: float = 0.02
    done: float = 0.48
    progress: float = 0.5

    def score(self, answers: Answers) -> Tensor:
        """(B,) in 0..1."""
        return (
            self.step * answers.step.float().sigmoid()
            + self.done * answers.done.float().sigmoid()
            + self.progress * answers.expected_progress()
        )


class RewardNetwork(Protocol):
    """A back end: a network with its own idea of pictures and prompts."""

    @property
    def module(self) -> nn.Module:
        """Its parameters; those that require gradients are trained."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Whose pictures lie side by side in a rendered frame."""

    @property
    def view_shape(self) -> tuple[int, int, int]:
        """(H, W, 3) that views must have."""

    def views(self, frames_BHWC: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """What the network is shown of rendered frames; with `rng`, as if the camera had moved a little."""

    def answers(self, views_BHWC: np.ndarray, instructions: Sequence[str]) -> Answers:
        """One forward pass."""

    def save(self, folder: Path) -> None:
        """Everything that `load_reward_model` needs to make this network again."""
