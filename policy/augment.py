"""Random views: what a training picture might have looked like from a slightly moved camera in other light.

In: `(B, H, W, 3)` uint8 frames and a generator. Out: `(B, S, S, 3)` uint8 views.
"""

import numpy as np

from policy.configuration import CROP, OpenVLAConfig
from policy.images import CROP_SIDE, resample

BRIGHTNESS = 0.1


def random_views(
    frames_BHWC: np.ndarray, config: OpenVLAConfig, rng: np.random.Generator, max_shift: int
) -> np.ndarray:
    """Each frame cropped at its own place and made lighter or darker; the policy itself sees the middle."""
    if config.image_resize_strategy == CROP:
        views = _shifted_crops(frames_BHWC, config.image_size, rng, max_shift)
    else:
        views = np.stack([_random_crop(frame, rng) for frame in frames_BHWC])
    gains = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, len(views)).astype(np.float32)
    return np.clip(views * gains[:, None, None, None], 0, 255).astype(np.uint8)


def _shifted_crops(
    frames_BHWC: np.ndarray, size: int, rng: np.random.Generator, max_shift: int
) -> np.ndarray:
    """Pixel-exact crops up to `max_shift` pixels off the middle."""
    margin = (frames_BHWC.shape[1] - size) // 2
    shift = min(max_shift, margin)
    corners = margin + rng.integers(-shift, shift + 1, (len(frames_BHWC), 2))
    return np.stack([f[y : y + size, x : x + size] for f, (y, x) in zip(frames_BHWC, corners, strict=True)])


def _random_crop(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The published training's crop: 0.9 of the picture anywhere in it, stretched back."""
    top, left = rng.uniform(0, 1 - CROP_SIDE, 2)
    return resample(frame, top=top, left=left)
