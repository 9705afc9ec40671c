"""The few pictures that LIBERO's arenas ask for by name, drawn here as tiny PNG files."""

import struct
import zlib

import numpy as np

SIZE = 64


def texture_files() -> dict[str, bytes]:
    """Floors, walls and table tops by path in the asset folder."""
    pictures = {
        "light-gray-floor-tile": _planks((188, 179, 170), (222, 215, 208), seams=4),
        "gray_ceramic_tile": _planks((186, 171, 155), (160, 146, 131), seams=2),
        "seamless_wood_planks_floor": _planks((233, 200, 137), (214, 178, 112), seams=8),
        "light-gray-plaster": _plain((223, 219, 212)),
        "yellow_linen_wall_texture": _plain((220, 213, 180)),
        "martin_novak_wood_table": _grain((198, 180, 162)),
    }
    return {f"textures/{name}.png": _png(picture_HW3) for name, picture_HW3 in pictures.items()}


def _plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), colour, np.uint8)


def _planks(colour: tuple[int, int, int], seam: tuple[int, int, int], seams: int) -> np.ndarray:
    """Boards with a joint halfway along every other one."""
    picture_HW3 = _plain(colour)
    width = SIZE // seams
    picture_HW3[::width] = seam
    for board in range(seams):
        joint = (board % 2) * SIZE // 2
        picture_HW3[board * width : (board + 1) * width, joint] = seam
    return picture_HW3


def _grain(colour: tuple[int, int, int]) -> np.ndarray:
    """Faint waves across the wood."""
    lines = 4 * np.sin(np.arange(SIZE) * 0.8) + 3 * np.sin(np.arange(SIZE) * 0.31)
    return np.round(_plain(colour) + lines[:, None, None]).astype(np.uint8)


def _png(picture_HW3: np.ndarray) -> bytes:
    height, width, _ = picture_HW3.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in picture_HW3)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
