"""Actor and critic as one module: the policy with its LoRA, and a value head at the first action position.

In: views (prompts, frames, action tokens). Out: log-probabilities and entropies of the tokens, and values.
`shared` reads the policy's own hidden state without sending gradients into it, so that no value error can
move the policy. `adapter` gives the critic its own LoRA on the same frozen base: the paper's second model of
the same kind, without its memory. `pooled` is `learner.window_critic`'s, which stands outside; here only the
vectors that it reads are made.

Shape letters: B views, L prompt tokens, A action tokens, V action ids, D hidden size, P patches, C features.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypedDict

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from core.config import CriticKind
from learner.batch import ModelInputs
from learner.value_head import ValueHead
from policy.adapter import POLICY_ADAPTER
from policy.distribution import action_logprobs, entropy
from policy.model import pad_prompts
from policy.precision import half_products

CRITIC_ADAPTER = "critic"


class Pass(Enum):
    """What a forward pass is for; it computes nothing else."""

    POLICY = "policy"
    VALUE = "value"
    BOTH = "both"
    REFERENCE = "reference"
    """The starting policy: all adapters off."""
    PROBE = "probe"
    """The policy in the full precision of its weights: what an engine has to agree with."""


class Evaluation(TypedDict, total=False):
    """What the model says of some views, as far as the pass was for it. A dict: ZeRO-3 looks inside those."""

    logprobs: Tensor
    """(B, A) of the given tokens."""
    entropies: Tensor
    """(B,) of the 256-way distributions, mean over the action tokens."""
    values: Tensor
    """(B,)."""
    features: Tensor
    """(B, P, C) of the vision backbone, where it is not trained."""
    pooled: Tensor
    """(B, D) mean of what enters the language model before the action tokens; for the `pooled` critic."""


class ActorCritic(nn.Module):
    """One module, so that one optimizer engine shards and steps both."""

    def __init__(
        self,
        policy: nn.Module,
        critic: CriticKind,
        *,
        temperature: float,
        device: str = "cpu",
        autocast: bool = False,
        train_vision: bool = True,
    ) -> None:
        """An adapter's part in the vision backbone starts at zero: not trained, it changes nothing there."""
        super().__init__()
        self._autocast, self._train_vision = autocast, train_vision
        self.policy = policy
        self.value_head = ValueHead(policy.config.text_config.hidden_size)
        self.critic, self.temperature, self.device = critic, temperature, device
        if critic is CriticKind.ADAPTER:
            policy.add_adapter(CRITIC_ADAPTER, policy.peft_config[POLICY_ADAPTER])
        layers = {name: m for name, m in policy.named_modules() if isinstance(m, BaseTunerLayer)}
        self._layers = [m for name, m in layers.items() if train_vision or "vision_backbone" not in name]
        for layer in layers.values():
            layer._disable_adapters = layer not in self._layers
        for name, parameter in policy.named_parameters():
            parameter.requires_grad_("lora_" in name and (train_vision or "vision_backbone" not in name))

    def forward(self, inputs: ModelInputs, purpose: Pass) -> Evaluation:
        with half_products(self.device, wanted=self._autocast and purpose is not Pass.PROBE):
            return self._evaluate(inputs, purpose)

    def _evaluate(self, inputs: ModelInputs, purpose: Pass) -> Evaluation:
        inputs = self._with_features(inputs)
        if purpose is Pass.VALUE:
            return Evaluation(values=self._values(inputs))
        adapter = None if purpose is Pass.REFERENCE else POLICY_ADAPTER
        with lora_active(self._layers, adapter):
            output = self._run(inputs, inputs.tokens)
        logprobs_BAV = action_logprobs(output.logits, self.temperature)
        said = Evaluation(
            logprobs=self._of_tokens(logprobs_BAV, inputs.tokens),
            entropies=entropy(logprobs_BAV).mean(dim=1),
        )
        if purpose is Pass.BOTH:
            said["values"] = self._values_beside(inputs, output.hidden[:, 0])
        if inputs.features is not None:
            said["features"] = inputs.features
        if self.critic is CriticKind.POOLED:
            said["pooled"] = output.pooled.detach().float()
        return said

    def policy_parameters(self) -> dict[str, nn.Parameter]:
        """What policy gradients train."""
        return {n: p for n, p in self._trainable() if not self._is_critic(n)}

    def critic_parameters(self) -> dict[str, nn.Parameter]:
        """What value errors train."""
        return {n: p for n, p in self._trainable() if self._is_critic(n)}

    def _values(self, inputs: ModelInputs) -> Tensor:
        adapter = CRITIC_ADAPTER if self.critic is CriticKind.ADAPTER else POLICY_ADAPTER
        trains_trunk = self.critic is CriticKind.ADAPTER and torch.is_grad_enabled()
        with lora_active(self._layers, adapter), torch.set_grad_enabled(trains_trunk):
            output = self._run(inputs, action_tokens=None)
        return self.value_head(output.hidden[:, 0])

    def _values_beside(self, inputs: ModelInputs, policy_hidden_BD: Tensor) -> Tensor:
        """Values in a pass that already ran the policy."""
        if self.critic is CriticKind.SHARED:
            return self.value_head(policy_hidden_BD.detach())
        return self._values(inputs)

    def _with_features(self, inputs: ModelInputs) -> ModelInputs:
        """A vision backbone that is not trained sees each frame once, whatever the number of passes."""
        if self._train_vision or inputs.features is not None:
            return inputs
        with torch.no_grad():
            frames = torch.from_numpy(inputs.frames).to(self.device)
            features = self.policy.get_base_model().vision_features(frames)
        return dataclasses.replace(inputs, features=features)

    def _run(self, inputs: ModelInputs, action_tokens: np.ndarray | None) -> Any:
        """A `policy.model.ActionOutput`."""
        return self.policy(
            input_ids=pad_prompts(inputs.prompts, self.policy.config.pad_token_id).to(self.device),
            frames=torch.from_numpy(inputs.frames).to(self.device) if self._train_vision else None,
            features=None if inputs.features is None else inputs.features.to(self.device),
            action_tokens=None if action_tokens is None else torch.from_numpy(action_tokens).to(self.device),
        )

    def _of_tokens(self, logprobs_BAV: Tensor, tokens_BA: np.ndarray) -> Tensor:
        ids_BA = torch.from_numpy(tokens_BA).to(self.device).long() - self.policy.config.action_ids.start
        return logprobs_BAV.gather(2, ids_BA[..., None]).squeeze(-1)

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)

    @staticmethod
    def _is_critic(name: str) -> bool:
        return name.startswith("value_head.") or f".{CRITIC_ADAPTER}." in name


@contextmanager
def lora_active(layers: Sequence[BaseTunerLayer], adapter: str | None) -> Iterator[None]:
    """Run with this adapter, or with none; then with the policy's own again.

    peft's own switches also turn gradients of the other adapters off, for good.
    """
    for layer in layers:
        layer._disable_adapters = adapter is None
        layer._active_adapter = [adapter or POLICY_ADAPTER]
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False
            layer._active_adapter = [POLICY_ADAPTER]
