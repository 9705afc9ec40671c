"""Judgements against numbers worked out by hand."""

import numpy as np
import pytest

from reward.evaluation import auc, quality


def test_auc_counts_pairs_in_the_right_order() -> None:
    # pairs (0.9, 0.1), (0.9, 0.5), (0.5, 0.1) are right, (0.5, 0.5) is half right
    assert auc(np.array([0.9, 0.5]), np.array([0.1, 0.5])) == pytest.approx(3.5 / 4)


def test_a_perfect_model() -> None:
    q = quality([(True, np.array([0.1, 0.5, 0.9])), (False, np.array([0.1, 0.3, 0.2]))])
    assert (q.value_order, q.kendall_tau) == (pytest.approx(1), pytest.approx(1))
    assert (q.final_auc, q.false_alarms) == (1, 0)
    assert q.gap == pytest.approx(0.7)


def test_order_correlations_by_hand() -> None:
    # of 1, 3, 2, 4 five pairs of six are in order: tau (5 - 1) / 6
    # ranks differ by 0, 1, 1, 0: rho 1 - 6·2/60
    q = quality([(True, np.array([0.1, 0.3, 0.2, 0.4]))])
    assert q.kendall_tau == pytest.approx(4 / 6)
    assert q.value_order == pytest.approx(0.8)
    assert np.isnan(q.final_auc)
    assert np.isnan(q.failure_final)


def test_a_constant_score_has_no_order() -> None:
    assert quality([(True, np.full(5, 0.7))]).value_order == 0


def test_only_successes_have_an_order_and_only_failures_false_alarms() -> None:
    q = quality([(True, np.array([0.1, 0.4])), (False, np.array([0.9, 0.6])), (False, np.array([0.9, 0.4]))])
    assert q.value_order == pytest.approx(1)
    assert q.false_alarms == 0.5
    assert (q.num_successes, q.num_failures) == (1, 2)
