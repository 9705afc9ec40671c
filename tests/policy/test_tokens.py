"""Actions to tokens and back, by hand-computed numbers from the published convention."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.processing import choose_statistics
from policy.tokens import (
    ActionStatistics,
    ActionTokens,
    compute_statistics,
    gripper_from_simulator,
    gripper_to_simulator,
)

PUBLISHED = ActionTokens(range(31744, 32000))
STATS = ActionStatistics(
    q01=np.array([-0.5, -1, -1, -1, -1, -1, 0]),
    q99=np.array([0.7, 1, 1, 1, 1, 1, 1]),
    mask=np.array([True] * 6 + [False]),
)


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (-1.0, 31999),  # digitize gives 1
        (1.0, 31744),  # digitize gives 256: the last edge counts as passed
        (0.0, 32000 - 128),  # edges are -1 + 2 i / 255: 128 of them lie at or below 0
        (-5.0, 31999),
        (5.0, 31744),
    ],
)
def test_encode(value: float, token: int) -> None:
    assert PUBLISHED.encode(np.array([value]))[0] == token


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (31999, -1 + 1 / 255),  # centre of the first bin
        (31745, 1 - 1 / 255),
        (31744, 1 - 1 / 255),  # 256 ids, 255 centres: the last two share one
    ],
)
def test_decode(token: int, value: float) -> None:
    assert PUBLISHED.decode(np.array([token]))[0] == pytest.approx(value)


@given(st.floats(-1, 1))
def test_a_round_trip_is_off_by_half_a_bin_at_most(value: float) -> None:
    back = PUBLISHED.decode(PUBLISHED.encode(np.array([value])))[0]
    assert abs(back - value) <= 1 / 255 + 1e-9


def test_all_ids_decode_in_falling_order() -> None:
    values = PUBLISHED.decode(np.arange(31744, 32000))
    assert np.all(np.diff(values) <= 0)
    assert len(np.unique(values)) == 255


def test_unnormalize_leaves_the_gripper_alone() -> None:
    actions = STATS.unnormalize(np.array([[0.0, 0, 0, 0, 0, 0, 0.3], [1.0, 1, 1, 1, 1, 1, 0.9]]))
    np.testing.assert_allclose(actions[0], [0.1, 0, 0, 0, 0, 0, 0.3])
    np.testing.assert_allclose(actions[1], [0.7, 1, 1, 1, 1, 1, 0.9])


def test_normalize_inverts_unnormalize_and_clips() -> None:
    normalized = np.array([[0.25, -0.5, 0, 0.1, 0.2, 0.3, 1.0]])
    np.testing.assert_allclose(STATS.normalize(STATS.unnormalize(normalized)), normalized)
    assert STATS.normalize(np.array([[9.0, 0, 0, 0, 0, 0, 0]]))[0, 0] == 1


def test_gripper_convention() -> None:
    """Policy: 1 open, 0 closed. Simulator: -1 open, +1 close."""
    policy = np.array([[0, 0, 0, 0, 0, 0, 0.9], [0, 0, 0, 0, 0, 0, 0.2]])
    assert gripper_to_simulator(policy)[:, -1].tolist() == [-1, 1]
    simulator = np.array([[0, 0, 0, 0, 0, 0, -1.0], [0, 0, 0, 0, 0, 0, 1.0]])
    assert gripper_from_simulator(simulator)[:, -1].tolist() == [1, 0]
    np.testing.assert_array_equal(gripper_to_simulator(gripper_from_simulator(simulator)), simulator)


def test_statistics_are_percentiles_with_the_gripper_unmasked() -> None:
    actions = np.tile(np.linspace(-1, 1, 101)[:, None], (1, 7))
    action = compute_statistics(actions)
    assert action["q01"][0] == pytest.approx(-0.98)
    assert action["q99"][0] == pytest.approx(0.98)
    assert action["mask"] == [True] * 6 + [False]
    assert action["min"][6] == 0
    assert action["max"][6] == 1


def test_statistics_are_found_under_both_published_names() -> None:
    entry = {"action": {"q01": [0.0] * 7, "q99": [1.0] * 7}}
    other = {"action": {"q01": [0.0] * 7, "q99": [2.0] * 7}}
    stats = {"libero_spatial_no_noops": entry, "libero_goal": other}
    found = choose_statistics(stats, "libero_spatial")
    assert found is not None
    assert found.q99[0] == 1
    assert choose_statistics({"only": entry}, None) is not None
    assert choose_statistics(None, "libero_spatial") is None
    with pytest.raises(ValueError, match="libero_10"):
        choose_statistics(stats, "libero_10")
    assert choose_statistics(stats, None) is None, "who does not say which has none to decode with"


def test_statistics_without_percentiles_are_refused() -> None:
    with pytest.raises(ValueError, match="q99"):
        ActionStatistics.from_json({"q01": [0.0] * 7})
