"""The rule that holds back updates which go too far, worked by hand."""

import math

import pytest

from learner.step_size import StepSize


def after(size: StepSize, *kls: float) -> float:
    """What the last step of an update takes whose minibatches are that far away."""
    size.begin_update()
    for kl in kls:
        size.look_at(kl)
    size.end_update()
    return size.now


def test_steps_shrink_while_over_twice_the_target_and_do_not_grow_within_the_update() -> None:
    assert after(StepSize(0.015), 0.0, 0.029, 0.031, 0.04, 0.001) == pytest.approx(1 / 1.5**2)


def test_the_next_update_begins_lower_by_one_factor_and_comes_back_when_nothing_held_it() -> None:
    size = StepSize(0.015)
    after(size, 0.05, 0.05, 0.05)
    assert size.first == pytest.approx(1 / 1.5)
    assert after(size, 0.05) == pytest.approx(1 / 1.5**2)
    assert size.first == pytest.approx(1 / 1.5**2)
    for expected in (1 / 1.5, 1.0, 1.0):
        after(size, 0.01)
        assert size.first == pytest.approx(expected)


def test_a_number_that_is_none_changes_nothing_nor_does_any_without_a_target() -> None:
    assert after(StepSize(0.015), math.nan) == 1.0
    assert after(StepSize(0.0), 9.0) == 1.0
