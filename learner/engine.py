"""Engines: what turns accumulated gradients into a step. This file: the interface, and plain PyTorch.

In: losses, one `backward` per micro-batch. Out: one `step`, which is skipped when a gradient is not finite.
`learner/deepspeed_engine.py` has the same interface over several ranks.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from core.config import CriticConfig, LearnerConfig
from learner.batch import ModelInputs
from learner.critic import ActorCritic, Evaluation, Pass

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names under which AdamW keeps its state of a parameter."""
GROUPS = ("policy", "critic")
"""Parameter groups of the optimizer, in order."""


class Engine(Protocol):
    """Owns the model's parameters and their optimizer."""

    model: ActorCritic

    def __call__(self, inputs: ModelInputs, purpose: Pass) -> Evaluation:
        """Forward."""

    def backward(self, loss: Tensor) -> None:
        """Add this loss's gradient; over ranks, gradients are averaged."""

    def step(self, *, policy_lr: float) -> float | None:
        """Clip, step, forget the gradients. The norm before clipping; None where the step was skipped.

        With a rate of zero the policy, and what its optimizer remembers, stay as they are.
        """

    def whole_parameters(self) -> AbstractContextManager:
        """Within, every trainable parameter can be read in full on every rank."""

    def load_parameters(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite every trainable parameter, by name."""

    def optimizer_state(self) -> dict[str, Tensor]:
        """`{parameter}/{moment}` and `{group}/step` in full: alike for every engine and number of ranks."""

    def load_optimizer_state(self, state: dict[str, Tensor]) -> None:
        """The inverse."""


class PlainEngine:
    """One process, no sharding: for `inline` runs, and what the sharded engine is tested against."""

    def __init__(self, model: ActorCritic, learner: LearnerConfig, critic: CriticConfig) -> None:
        self.model = model
        self._max_norm = learner.max_grad_norm
        self._optimizer = make_optimizer(model, learner, critic)

    def __call__(self, inputs: ModelInputs, purpose: Pass) -> Evaluation:
        return self.model(inputs, purpose)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self, *, policy_lr: float) -> float | None:
        self._optimizer.param_groups[0]["lr"] = policy_lr
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._max_norm))
        finite = norm < float("inf")
        if finite:
            self._optimizer.step()
        self._optimizer.zero_grad()
        return norm if finite else None

    def whole_parameters(self) -> AbstractContextManager:
        return nullcontext()

    def load_parameters(self, tensors: dict[str, Tensor]) -> None:
        for parameters in parameter_groups(self.model).values():
            for name, parameter in parameters.items():
                parameter.data.copy_(tensors[name])

    def optimizer_state(self) -> dict[str, Tensor]:
        state = {}
        for group, parameters in parameter_groups(self.model).items():
            for name, parameter in parameters.items():
                known = self._optimizer.state.get(parameter, {})
                state[f"{group}/step"] = known.get("step", torch.zeros(()))
                state |= {f"{name}/{key}": known.get(key, torch.zeros_like(parameter)) for key in MOMENTS}
        return state

    def load_optimizer_state(self, state: dict[str, Tensor]) -> None:
        for group, parameters in parameter_groups(self.model).items():
            for name, parameter in parameters.items():
                moments = {key: state[f"{name}/{key}"].to(parameter.device, copy=True) for key in MOMENTS}
                self._optimizer.state[parameter] = {"step": state[f"{group}/step"].clone(), **moments}


def parameter_groups(model: ActorCritic) -> dict[str, dict[str, torch.nn.Parameter]]:
    """Trainable parameters by name, in the optimizer's order: the policy's, then the critic's."""
    return dict(zip(GROUPS, (model.policy_parameters(), model.critic_parameters()), strict=True))


def make_optimizer(model: ActorCritic, learner: LearnerConfig, critic: CriticConfig) -> torch.optim.AdamW:
    """AdamW over the two groups, each with its learning rate. All trainable parameters are float32."""
    rates = {"policy": learner.lr, "critic": critic.lr}
    groups = [{"params": list(p.values()), "lr": rates[name]} for name, p in parameter_groups(model).items()]
    return torch.optim.AdamW(groups, eps=learner.adam_eps, weight_decay=learner.weight_decay)
