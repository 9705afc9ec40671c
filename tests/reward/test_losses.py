"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from reward.losses import SHARPNESS, balanced_answer_loss, preference_loss, progress_loss

NAN = math.nan


def test_yes_and_no_weigh_the_same_however_rare_one_is() -> None:
    logits = torch.tensor([0.0, 0.0, 0.0, 2.0])
    labels = torch.tensor([0.0, 0.0, 0.0, 1.0])
    # no: ln 2 each, so their mean is ln 2; yes: ln(1 + e^-2); halves of both
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert balanced_answer_loss(logits, labels).item() == pytest.approx(expected)


def test_what_is_not_asked_has_no_gradient() -> None:
    logits = torch.zeros(3, requires_grad=True)
    balanced_answer_loss(logits, torch.tensor([1.0, NAN, 0.0])).backward()
    assert logits.grad is not None
    assert logits.grad[1] == 0
    assert logits.grad[0] == -logits.grad[2] != 0


def test_a_batch_in_which_nothing_is_asked_costs_nothing() -> None:
    logits = torch.zeros(2, requires_grad=True)
    loss = balanced_answer_loss(logits, torch.tensor([NAN, NAN]))
    loss.backward()
    assert loss.item() == 0
    assert progress_loss(torch.zeros(2, 5), torch.tensor([NAN, NAN])).item() == 0


def test_progress_is_learned_as_the_mean_of_two_levels() -> None:
    """Label 0.3 of levels 0, 1/4, 2/4, ...: position 1.2, so level 1 with 0.8 and level 2 with 0.2."""
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.0]])
    logprobs = logits.log_softmax(dim=-1)[0]
    expected = -(0.8 * logprobs[1] + 0.2 * logprobs[2])
    torch.testing.assert_close(progress_loss(logits, torch.tensor([0.3])), expected)


def test_progress_one_is_the_last_level() -> None:
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(progress_loss(logits, torch.tensor([1.0])), -logits.log_softmax(-1)[0, 4])


def test_preferences_by_hand() -> None:
    scores = torch.tensor([0.6, 0.4, 0.9])
    loss = preference_loss(scores, torch.tensor([0, 1]), torch.tensor([1, 2]))
    settled, wrong = SHARPNESS * 0.2, SHARPNESS * -0.5
    expected = (math.log(1 + math.exp(-settled)) + math.log(1 + math.exp(-wrong))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_no_pairs_no_loss() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    assert preference_loss(torch.tensor([0.5]), nothing, nothing).item() == 0
