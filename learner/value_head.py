"""The network that makes a value of a vector."""

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """Two layers in float32; starts at zero, so that the first advantages are plain returns."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden_BD: Tensor) -> Tensor:
        with torch.autocast(hidden_BD.device.type, enabled=False):
            return self.out(torch.tanh(self.hidden(hidden_BD.float()))).squeeze(-1)
