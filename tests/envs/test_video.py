"""Videos are decoded again: number of frames, size, content, captions; failures leave nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from envs.video import side_by_side, write_video

RED, BLUE = (200, 20, 20), (20, 20, 200)


def frames(size: tuple[int, int] = (64, 64)) -> list[np.ndarray]:
    return [np.full((*size, 3), RED if i < 6 else BLUE, np.uint8) for i in range(12)]


def decode(path: Path) -> np.ndarray:
    """(T, H, W, 3) uint8, RGB."""
    capture, decoded = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = capture.read()
        if not read:
            return np.array(decoded)[..., ::-1]
        decoded.append(frame)


def test_every_frame_is_there_with_its_caption(tmp_path: Path) -> None:
    captions = [""] * 11 + ["put the bowl on the plate"]
    write_video(tmp_path / "a.mp4", frames(), captions)
    decoded = decode(tmp_path / "a.mp4")
    assert len(decoded) == 12
    np.testing.assert_allclose(decoded[0, 128, 128], RED, atol=12)
    np.testing.assert_allclose(decoded[11, 128, 128], BLUE, atol=12)
    assert decoded[0, 260:].max() < 60
    assert decoded[11, 260:].max() > 150


def test_long_captions_are_wrapped_and_odd_sizes_made_even(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", frames((65, 301)), ["word " * 40] * 12)
    _, height, width, _ = decode(tmp_path / "a.mp4").shape
    assert width == 300
    assert height > 64 + 3 * 12
    assert height % 2 == 0


def test_frames_and_captions_must_match(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one caption per frame"):
        write_video(tmp_path / "a.mp4", frames(), ["x"])


def test_missing_ffmpeg_is_said_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="Videos need ffmpeg"):
        write_video(tmp_path / "a.mp4", frames(), [""] * 12)
    assert list(tmp_path.iterdir()) == []


def test_side_by_side_lasts_as_long_as_the_longer_one(tmp_path: Path) -> None:
    write_video(tmp_path / "short.mp4", frames()[:3], [""] * 3)
    write_video(tmp_path / "long.mp4", frames(), [""] * 12)
    side_by_side(tmp_path / "short.mp4", tmp_path / "long.mp4", tmp_path / "both.mp4")
    decoded = decode(tmp_path / "both.mp4")
    assert len(decoded) == 12
    left, right = np.split(decoded[-1], 2, axis=1)
    np.testing.assert_allclose(left[128, 128], RED, atol=12)  # where the short one stopped
    np.testing.assert_allclose(right[128, 128], BLUE, atol=12)
