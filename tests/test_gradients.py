"""Signal and noise of gradients, on gradients of which both are known."""

import numpy as np
import pytest

from experiments.gradients import Sketch, figures, mean_of_pairs


def test_pairs_of_different_episodes_alone_count() -> None:
    products = np.array([[100.0, 1.0, 2.0], [1.0, 100.0, 3.0], [2.0, 3.0, 100.0]])
    assert mean_of_pairs(products) == 2


def test_what_all_share_is_told_from_what_is_random() -> None:
    """Signal (2, 0, 0, ...), noise of variance 1 in each of 400 numbers: 4 to 404."""
    random, other = np.random.default_rng(0).normal(size=(2, 1000, 400))
    found = figures(random + 2 * np.eye(400)[0], other + 2 * np.eye(400)[0])
    assert found.signal_to_noise == pytest.approx(4 / 404, rel=0.15)
    assert found.signal_to_noise_sd < 0.2 * found.signal_to_noise
    assert found.gain == pytest.approx(4 / np.sqrt(404), rel=0.1)


def test_noise_alone_shows_no_signal() -> None:
    random = np.random.default_rng(0).normal(size=(1000, 400))
    found = figures(random, random)
    assert abs(found.signal_to_noise) < 3 * found.signal_to_noise_sd


def test_sketches_keep_inner_products_on_average() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 1000)) + 0.5
    products = [sketch(one) @ sketch(other) for sketch in (Sketch(1000, 64, seed) for seed in range(400))]
    standard_error = np.std(products) / 20
    assert np.mean(products) == pytest.approx(one @ other, abs=3 * standard_error)
