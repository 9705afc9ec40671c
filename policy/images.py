"""From the simulator's frame to the model's view, pixel for pixel as OpenVLA's evaluation makes it.

In: `(H, W, 3)` uint8 frame, already rotated upright. Out: `(S, S, 3)` uint8 view.
"""

from functools import lru_cache

import numpy as np

from policy.jpeg import jpeg_round_trip

CROP_AREA = 0.9
CROP_SIDE = CROP_AREA**0.5


def openvla_view(frame: np.ndarray, size: int) -> np.ndarray:
    """JPEG round trip, Lanczos resize, centre crop of 0.9 of the area, bilinear resize."""
    return crop_and_resize(lanczos_resize(jpeg_round_trip(frame), size))


def shrink(frame: np.ndarray, height: int) -> np.ndarray:
    """Each pixel the mean of a block of them: an exact division of the frame, without blur or aliasing."""
    block, rest = divmod(frame.shape[0], height)
    if rest or block == 0:
        raise ValueError(f"a frame {frame.shape[0]} pixels high cannot shrink to {height}: no whole multiple")
    blocks = frame.reshape(height, block, -1, block, 3).astype(np.uint16)
    return (blocks.sum(axis=(1, 3), dtype=np.uint32) // block**2).astype(np.uint8)


def lanczos_resize(frame: np.ndarray, size: int) -> np.ndarray:
    """Lanczos of radius 3, widened when shrinking (antialias), rounded and clipped to uint8."""
    rows, columns = (_lanczos_matrix(side, size) for side in frame.shape[:2])
    return np.clip(np.rint(_separable(rows, columns, frame)), 0, 255).astype(np.uint8)


def crop_and_resize(frame: np.ndarray) -> np.ndarray:
    """Centre crop of CROP_AREA, stretched bilinearly to the old size."""
    margin = (1 - CROP_SIDE) / 2
    return resample(frame, top=margin, left=margin)


def resample(frame: np.ndarray, *, top: float, left: float) -> np.ndarray:
    """The crop of CROP_AREA that begins at this share of height and width, stretched to the old size."""
    rows, columns = _crop_matrix(frame.shape[0], top), _crop_matrix(frame.shape[1], left)
    unit = _separable(rows, columns, frame) / 255
    # TensorFlow's float-to-uint8 cast scales by 255.5 and truncates.
    return np.clip(unit * 255.5, 0, 255).astype(np.uint8)


def _separable(rows: np.ndarray, columns: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """rows · frame · columnsᵀ for every colour."""
    planes = np.moveaxis(frame, -1, 0).astype(np.float32)
    return np.moveaxis(rows @ planes @ columns.T, 0, -1)


@lru_cache(maxsize=8)
def _lanczos_matrix(before: int, after: int) -> np.ndarray:
    """(after, before) weights: row i holds the kernel centred where output pixel i lies in the input."""
    scale = before / after
    width = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale - 0.5
    offsets = (np.arange(before) - centres[:, None]) / width
    weights = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _crop_matrix(side: int, start: float) -> np.ndarray:
    """(side, side) bilinear weights that stretch CROP_SIDE of a line over all of it; corners are aligned."""
    centres = np.linspace(start, start + CROP_SIDE, side) * (side - 1)
    weights = np.maximum(1 - np.abs(np.arange(side) - centres[:, None]), 0)
    return weights.astype(np.float32)
