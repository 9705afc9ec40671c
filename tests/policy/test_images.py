"""The model's view against frames from the original TensorFlow pipeline."""

from pathlib import Path

import numpy as np
import pytest

from policy.images import crop_and_resize, lanczos_resize, openvla_view, shrink
from policy.jpeg import jpeg_round_trip

TOLERANCE = 0.5
"""Mean absolute difference of 255 that other JPEG roundings may cause; ours cause 0.1."""


@pytest.fixture(scope="module")
def frames(shared_dir: Path) -> dict[str, np.ndarray]:
    with np.load(shared_dir / "fixtures" / "preprocess.npz") as file:
        return dict(file)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours.astype(int) - theirs).mean())


@pytest.mark.parametrize("index", range(4))
def test_published_pipeline(frames: dict[str, np.ndarray], index: int) -> None:
    upright = frames["raw"][index][::-1, ::-1]
    resized = lanczos_resize(jpeg_round_trip(upright), 224)
    assert difference(resized, frames["resized"][index]) < TOLERANCE
    assert difference(openvla_view(upright, 224), frames["cropped"][index]) < TOLERANCE


@pytest.mark.parametrize("index", range(4))
def test_crop_is_exact_but_for_float_rounding(frames: dict[str, np.ndarray], index: int) -> None:
    ours = crop_and_resize(frames["resized"][index])
    assert np.abs(ours.astype(int) - frames["cropped"][index]).max() <= 1
    assert difference(ours, frames["cropped"][index]) < 0.001


def test_jpeg_keeps_a_grey_picture_and_any_size() -> None:
    grey = np.full((37, 50, 3), 128, np.uint8)
    np.testing.assert_array_equal(jpeg_round_trip(grey), grey)


def test_jpeg_loses_colour_detail_and_little_brightness() -> None:
    checkers = np.indices((32, 32)).sum(axis=0) % 2
    red_blue = np.stack([255 * checkers, np.zeros_like(checkers), 255 * (1 - checkers)], axis=-1).astype(
        np.uint8
    )
    assert difference(jpeg_round_trip(red_blue), red_blue) > 20  # halved colour cannot hold single pixels
    black_white = np.repeat(255 * checkers[..., None], 3, axis=-1).astype(np.uint8)
    assert difference(jpeg_round_trip(black_white), black_white) < 4


def test_lanczos_keeps_constants_and_sizes() -> None:
    resized = lanczos_resize(np.full((256, 256, 3), 77, np.uint8), 224)
    assert resized.shape == (224, 224, 3)
    assert np.all(resized == 77)


def test_shrink_is_the_mean_of_blocks() -> None:
    frame = np.zeros((4, 8, 3), np.uint8)
    frame[:2, :2] = [[[10], [20]], [[30], [43]]]
    frame[2:, 6:] = 255
    shrunk = shrink(frame, 2)
    assert shrunk.shape == (2, 4, 3)
    np.testing.assert_array_equal(shrunk[..., 0], [[25, 0, 0, 0], [0, 0, 0, 255]])


def test_shrink_wants_a_whole_multiple() -> None:
    with pytest.raises(ValueError, match="no whole multiple"):
        shrink(np.zeros((100, 200, 3), np.uint8), 64)
