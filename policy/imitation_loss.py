"""What imitation minimises: soft-label cross entropy on the action tokens, and two auxiliary regressions.

In: the policy's outputs for a batch and its labels. Out: a scalar loss and the figures worth watching.

Shape letters: B batch, A action tokens, V action ids, P image tokens, C vision channels, D hidden size.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH_CODE = 16
HEAD_DIM = 128


class AuxiliaryHeads(nn.Module):
    """For training only: they teach the features what a small model finds last by itself: places.

    From the image tokens: the arm's pose. From the first action token's hidden state, which has also read
    the instruction: where the gripper will next open or close, that is, which object is meant.
    """

    def __init__(self, num_patches: int, vision_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.code = nn.Linear(vision_dim, PATCH_CODE)
        self.pose = nn.Sequential(
            nn.Linear(num_patches * PATCH_CODE, HEAD_DIM), nn.ReLU(), nn.Linear(HEAD_DIM, 4)
        )
        self.next_grip = nn.Linear(hidden_dim, 3)

    def forward(self, features_BPC: Tensor, hidden_BD: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 4) pose and (B, 3) place of the next grip, both standardised."""
        return self.pose(self.code(features_BPC).flatten(1)), self.next_grip(hidden_BD)


def soft_cross_entropy(logits_BAV: Tensor, labels_BA: Tensor, sigma: float) -> Tensor:
    """Cross entropy against a Gaussian over neighbouring bins: being one bin off is almost right.

    `labels` are bins, 0..V-1. sigma 0 is plain cross entropy.
    """
    logits, labels = logits_BAV.float().flatten(0, 1), labels_BA.flatten()
    if sigma == 0:
        return F.cross_entropy(logits, labels)
    return F.cross_entropy(logits, _soft_labels(logits.shape[-1], sigma).to(logits.device)[labels])


@cache
def _soft_labels(num_bins: int, sigma: float) -> Tensor:
    """(V, V): row i is the label distribution of bin i."""
    bins = torch.arange(num_bins)
    weights = torch.exp(-((bins - bins[:, None]) ** 2) / (2 * sigma**2))
    return weights / weights.sum(dim=-1, keepdim=True)
