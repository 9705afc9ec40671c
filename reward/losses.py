"""What training minimises: right answers, right progress, and the right order of frames.

In: a model's answers for a batch, its labels, pairs of frames of which one is better. Out: scalar losses.
Labels that are NaN are not asked.
Shape letters: B frames, P levels of progress, Q pairs.
"""

import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 10.0
"""A pair is all but settled when the better score is ahead by 3 / SHARPNESS."""


def balanced_answer_loss(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Cross entropy of yes and no, each half of the loss however rare it is in this batch."""
    asked = ~labels_B.isnan()
    logits, labels = logits_B.float()[asked], labels_B[asked]
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    halves = [losses[labels == answer] for answer in (0, 1)]
    return sum((half.mean() for half in halves if len(half)), logits_B.sum() * 0) / 2


def progress_loss(logits_BP: Tensor, labels_B: Tensor) -> Tensor:
    """Cross entropy against the two levels beside each label, weighted so that their mean is the label."""
    asked = ~labels_B.isnan()
    num_levels = logits_BP.shape[-1]
    position = labels_B[asked] * (num_levels - 1)
    below = position.floor().clamp(max=num_levels - 2).long()
    share = (position - below)[:, None]
    logprobs = logits_BP.float()[asked].log_softmax(dim=-1)
    loss = -(1 - share) * logprobs.gather(1, below[:, None]) - share * logprobs.gather(1, below[:, None] + 1)
    return loss.sum() / max(1, len(loss))


def preference_loss(scores_B: Tensor, better_Q: Tensor, worse_Q: Tensor) -> Tensor:
    """Bradley-Terry on pairs of frames: -log sigmoid(s_better - s_worse), sharpened."""
    if len(better_Q) == 0:
        return scores_B.sum() * 0
    return -F.logsigmoid(SHARPNESS * (scores_B[better_Q] - scores_B[worse_Q])).mean()
