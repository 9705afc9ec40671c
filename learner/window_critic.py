"""A critic beside the policy: a small network, fitted to the returns of the last updates.

In: of every view the mean of what enters the language model and the time, and the return that came. Out:
values. The time, because how much of an episode is left says how likely it still is to succeed.
It reads no hidden state of the policy and no value of its own (but beyond a cut or a bootstrapped time
limit), so it is right after a few dozen episodes, where a head trained within the policy's epochs follows the
luck of each update (docs/algorithm.md). Every learner rank holds the same one and fits it to the same data in
the same order: nothing is communicated.

Shape letters: V views of an update, N decisions, D width.
"""

from collections import deque

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from core.config import CriticConfig
from learner.value_head import ValueHead

PREFIX = "window/"
CLOCK_WIDTH, CLOCK_PERIOD, CLOCK_END = 3, 15.0, 90
"""Numbers that tell the time, over how many decisions it looks different, and when it is merely late: larger
numbers would drown the picture.
"""


class WindowCritic:
    """Remembers the last `critic.window` updates."""

    def __init__(self, dim: int, config: CriticConfig, *, minibatch_size: int, seed: int) -> None:
        self._config, self._minibatch_size = config, minibatch_size
        self.dim = dim
        torch.manual_seed(seed)  # alike on every rank
        self._head = ValueHead(dim + CLOCK_WIDTH)
        self._optimizer = torch.optim.AdamW(self._head.parameters(), lr=config.lr, weight_decay=0.0)
        self._window: deque[tuple[Tensor, Tensor]] = deque(maxlen=config.window)

    def seen(self, pooled_VD: np.ndarray, clock_V: np.ndarray) -> np.ndarray:
        """(V, D) what it reads of the views; what is not finite stays so, for the caller to find."""
        turns_V = clock_V / CLOCK_PERIOD
        so_far_V = np.minimum(clock_V, CLOCK_END) / CLOCK_END
        clock_V3 = 2 * np.stack([2 * so_far_V, np.sin(turns_V), np.cos(turns_V)], axis=1)
        normalized_VD = layer_norm(torch.from_numpy(pooled_VD), (self.dim,)).numpy()
        return np.concatenate([normalized_VD, clock_V3], axis=1, dtype=np.float32)

    @torch.no_grad()
    def values(self, seen_VD: np.ndarray) -> np.ndarray:
        """(V,)."""
        return self._head(torch.from_numpy(seen_VD)).numpy()

    def fit(self, seen_ND: np.ndarray, returns_N: np.ndarray, order: tuple[int, ...]) -> float:
        """Remember these decisions, and fit the network to all that is remembered: the mean loss.

        As many steps as `critic.epochs` over the new decisions alone would take, whatever the window holds.
        """
        self._window.append((torch.from_numpy(seen_ND), torch.from_numpy(returns_N).float()))
        inputs, returns = (torch.cat(parts) for parts in zip(*self._window, strict=True))
        generator = np.random.default_rng(order)
        num_steps = max(1, round(self._config.epochs * len(seen_ND) / self._minibatch_size))
        losses = []
        for _ in range(num_steps):
            rows = torch.from_numpy(generator.integers(0, len(inputs), self._minibatch_size))
            values = self._head(inputs[rows])
            loss = 0.5 * nn.functional.mse_loss(values, returns[rows])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def state(self) -> dict[str, Tensor]:
        """All of it, by name; the inverse of `load`."""
        state = {f"head/{name}": tensor.clone() for name, tensor in self._head.state_dict().items()}
        for index, known in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer/{index}/{key}": tensor.clone() for key, tensor in known.items()}
        for index, (seen_ND, returns_N) in enumerate(self._window):
            state |= {f"{PREFIX}{index}/seen": seen_ND, f"{PREFIX}{index}/returns": returns_N}
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        self._head.load_state_dict(_under("head/", state))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer/", state).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = tensor.clone()
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._window.clear()
        remembered = _under(PREFIX, state)
        for update in range(len(remembered) // 2):
            self._window.append((remembered[f"{update}/seen"], remembered[f"{update}/returns"]))


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
