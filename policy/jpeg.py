"""What a frame looks like after TensorFlow has written it as JPEG and read it again.

In: `(H, W, 3)` uint8. Out: the same, with the artefacts that OpenVLA was trained on. TensorFlow reads with
libjpeg's fast integer DCT, which darkens and shifts colours by some levels and which no common Python library
offers; so the lossy steps are done here (the lossless coding between them would change nothing).
Quality 95, colour at half the size.

Shape letters: N blocks of 8x8, H W picture.
"""

from functools import cache

import numpy as np

QUALITY_SCALE = 10
"""Percent of the standard tables at quality 95."""
LUMA_TABLE = """
16 11 10 16  24  40  51  61
12 12 14 19  26  58  60  55
14 13 16 24  40  57  69  56
14 17 22 29  51  87  80  62
18 22 37 56  68 109 103  77
24 35 55 64  81 104 113  92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103  99
"""
CHROMA_TABLE = (
    "17 18 24 47 {0} 18 21 26 66 {0} 24 26 56 99 {0} 47 66 99 99 {0}".format("99 99 99 99") + " 99" * 32
)
SCALE_BITS = 16
HALF = 1 << (SCALE_BITS - 1)


def jpeg_round_trip(frame: np.ndarray) -> np.ndarray:
    """Encode and decode; sides are padded to whole 16x16 units and cut again, as the format does."""
    height, width = frame.shape[:2]
    padded = np.pad(frame, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="edge").astype(np.int32)
    luma, blue, red = _to_ycc(padded)
    luma = _lossy(luma, _table(LUMA_TABLE))
    blue, red = (_double(_lossy(_halve(plane), _table(CHROMA_TABLE))) for plane in (blue, red))
    return _to_rgb(luma, blue, red)[:height, :width]


def _to_ycc(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """libjpeg's fixed-point conversion."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    centre = (128 << SCALE_BITS) + HALF - 1
    luma = (_fix(0.299) * red + _fix(0.587) * green + _fix(0.114) * blue + HALF) >> SCALE_BITS
    to_blue = (-_fix(0.16874) * red - _fix(0.33126) * green + _fix(0.5) * blue + centre) >> SCALE_BITS
    to_red = (_fix(0.5) * red - _fix(0.41869) * green - _fix(0.08131) * blue + centre) >> SCALE_BITS
    return luma, to_blue, to_red


def _to_rgb(luma: np.ndarray, to_blue: np.ndarray, to_red: np.ndarray) -> np.ndarray:
    blue, red = to_blue - 128, to_red - 128
    greens = (-_fix(0.34414) * blue - _fix(0.71414) * red + HALF) >> SCALE_BITS
    reds, blues = (_fix(1.402) * red + HALF) >> SCALE_BITS, (_fix(1.772) * blue + HALF) >> SCALE_BITS
    return np.clip(np.stack([luma + reds, luma + greens, luma + blues], axis=-1), 0, 255).astype(np.uint8)


def _halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2x2; the rounding alternates between down and up along a row."""
    sums = plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    return (sums + 1 + np.arange(sums.shape[1]) % 2) >> 2


def _double(plane: np.ndarray) -> np.ndarray:
    """Twice the size; each new pixel is 3 parts its nearer and 1 part its farther neighbour."""
    tall = _interleave(*_neighbours(plane))
    before, after = _neighbours(tall.T)
    return _interleave((before + 8) >> 4, (after + 7) >> 4).T


def _neighbours(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three times each row plus the row before it; the same with the row after it."""
    edged = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
    return 3 * plane + edged[:-2], 3 * plane + edged[2:]


def _interleave(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    return np.stack([even, odd], axis=1).reshape(-1, even.shape[1])


def _lossy(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Cosine transform, rounding to multiples of the table, and the fast way back."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = (plane - 128).reshape(rows, 8, columns, 8).swapaxes(1, 2)
    eighths = np.rint(8 * (_cosines() @ blocks @ _cosines().T)).astype(np.int32)
    quantised = np.sign(eighths) * ((np.abs(eighths) + 4 * table) // (8 * table))
    passed = _fast_inverse(np.moveaxis(quantised * _fast_factors(table), -2, 0))  # down the columns
    passed = _fast_inverse(np.moveaxis(passed, -1, 0))  # along the rows
    pixels = np.clip((np.moveaxis(passed, (0, 1), (-1, -2)) >> 5) + 128, 0, 255)
    return pixels.swapaxes(1, 2).reshape(plane.shape)


def _fast_inverse(x: np.ndarray) -> np.ndarray:
    """Inverse DCT over the first axis after Arai, Agui and Nakajima, with libjpeg's 8-bit constants."""
    sum_04, difference_04 = x[0] + x[4], x[0] - x[4]
    sum_26 = x[2] + x[6]
    difference_26 = _times(x[2] - x[6], 362) - sum_26
    even = (sum_04 + sum_26, difference_04 + difference_26, difference_04 - difference_26, sum_04 - sum_26)
    sum_53, difference_53, sum_17, difference_17 = x[5] + x[3], x[5] - x[3], x[1] + x[7], x[1] - x[7]
    rotated = _times(difference_53 + difference_17, 473)
    odd0 = sum_17 + sum_53
    odd1 = _times(difference_53, -669) + rotated - odd0
    odd2 = _times(sum_17 - sum_53, 362) - odd1
    odd3 = -(_times(difference_17, 277) - rotated + odd2)
    odd = (odd0, odd1, odd2, odd3)
    first = [e + o for e, o in zip(even, odd, strict=True)]
    second = [e - o for e, o in zip(even, odd, strict=True)]
    return np.stack([*first, *second[::-1]])


def _times(x: np.ndarray, constant: int) -> np.ndarray:
    """Product with constant / 256, rounded down: the inaccuracy that makes this transform fast."""
    return (x * constant) >> 8


@cache
def _cosines() -> np.ndarray:
    """(8, 8) orthonormal DCT matrix."""
    k = np.arange(8)
    matrix = np.cos(np.pi * (2 * k + 1) * k[:, None] / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix


@cache
def _table(standard: str) -> np.ndarray:
    """(8, 8) quantisation steps at our quality."""
    return (np.array(standard.split(), np.int32).reshape(8, 8) * QUALITY_SCALE + 50) // 100


def _fast_factors(table: np.ndarray) -> np.ndarray:
    """(8, 8) quantisation steps with the fast transform's own scaling, to 2 bits after the point."""
    scale = np.cos(np.arange(8) * np.pi / 16) * np.sqrt(2)
    scale[0] = 1
    factors = np.rint(16384 * np.outer(scale, scale)).astype(np.int64)
    return ((table * factors + (1 << 11)) >> 12).astype(np.int32)


def _fix(x: float) -> int:
    return int(x * (1 << SCALE_BITS) + 0.5)
