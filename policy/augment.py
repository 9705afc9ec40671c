"""Random views: what a training picture might have looked like from a slightly moved camera in other light.

In: `(B, H, cameras · H, 3)` uint8 frames and a generator. Out: `(B, S, cameras · S, 3)` uint8 views.
"""

import numpy as np

from policy.configuration import OpenVLAConfig
from policy.conventions import SHRINK
from policy.images import CROP_SIDE, lanczos_resize, resample, shrink

BRIGHTNESS = 0.1


def random_views(
    frames_BHWC: np.ndarray, config: OpenVLAConfig, rng: np.random.Generator, max_shift: int
) -> np.ndarray:
    """Each camera's picture moved by a little of its own and made lighter or darker."""
    pictures_NHWC = np.concatenate(np.split(frames_BHWC, len(config.cameras), axis=2))
    if config.image_resize_strategy == SHRINK:
        moved = np.stack([_shifted(picture, rng, max_shift) for picture in pictures_NHWC])
        views = np.stack([shrink(picture, config.image_size) for picture in moved])
    else:
        resized = [lanczos_resize(picture, config.image_size) for picture in pictures_NHWC]
        views = np.stack([_random_crop(picture, rng) for picture in resized])
    views = np.concatenate(np.split(views, len(config.cameras)), axis=2)
    gains = rng.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, len(views)).astype(np.float32)
    return np.clip(views * gains[:, None, None, None], 0, 255).astype(np.uint8)


def _shifted(picture: np.ndarray, rng: np.random.Generator, max_shift: int) -> np.ndarray:
    """Moved by up to `max_shift` raw pixels each way; the border's pixels fill what comes in."""
    size = len(picture)
    padded = np.pad(picture, ((max_shift, max_shift), (max_shift, max_shift), (0, 0)), mode="edge")
    y, x = rng.integers(0, 2 * max_shift + 1, 2)
    return padded[y : y + size, x : x + size]


def _random_crop(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The published training's crop: 0.9 of the picture anywhere in it, stretched back."""
    top, left = rng.uniform(0, 1 - CROP_SIDE, 2)
    return resample(frame, top=top, left=left)
