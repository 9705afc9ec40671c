"""Episodes as H.264 video with a caption strip. In: uint8 frames and one caption each. Out: an MP4 file."""

import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MIN_WIDTH = 256
"""Smaller frames are enlarged by a whole factor, so that captions can be read."""
FONT_SIZE, LINE_HEIGHT, MARGIN = 12, 15, 4
LETTER_WIDTH = 6.2
"""Mean width of the font's letters, for breaking lines."""
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart")


def write_video(path: Path, frames: Sequence[np.ndarray], captions: Sequence[str], fps: int = 20) -> None:
    """One caption per frame, drawn below it; line breaks are kept, long lines are wrapped."""
    if len(frames) == 0 or len(frames) != len(captions):
        raise ValueError(
            f"A video needs one caption per frame and at least one; got {len(frames)}, {len(captions)}."
        )
    partial = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _encode(partial, list(_captioned(frames, captions)), fps)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def side_by_side(left: Path, right: Path, out: Path) -> None:
    """Two videos of the same height in one; the shorter one's last frame waits for the longer one's end."""
    _run_ffmpeg(["-i", str(left), "-i", str(right), "-filter_complex", "hstack", *H264, str(out)])


def _captioned(frames: Sequence[np.ndarray], captions: Sequence[str]) -> Iterator[np.ndarray]:
    """Frames with even sides (yuv420p halves the colour's resolution) and a strip below."""
    factor = max(1, -(-MIN_WIDTH // frames[0].shape[1]))
    width = frames[0].shape[1] * factor // 2 * 2
    texts = [_wrapped(caption, width) for caption in captions]
    strip_height = (max(text.count("\n") + 1 for text in texts) * LINE_HEIGHT + 2 * MARGIN) // 2 * 2
    for frame, text in zip(frames, texts, strict=True):
        large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
        large = large[: large.shape[0] // 2 * 2, :width]
        yield np.concatenate([large, _strip(text, width, strip_height)])


def _wrapped(caption: str, width: int) -> str:
    letters = int((width - 2 * MARGIN) / LETTER_WIDTH)
    return "\n".join(textwrap.fill(line, letters) for line in caption.split("\n"))


def _strip(text: str, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: light text on black."""
    image = Image.new("RGB", (width, height))
    font = ImageFont.load_default(FONT_SIZE)
    ImageDraw.Draw(image).multiline_text((MARGIN, MARGIN), text, (235, 235, 235), font, spacing=1)
    return np.asarray(image)


def _encode(path: Path, frames: list[np.ndarray], fps: int) -> None:
    height, width = frames[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    pixels = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    _run_ffmpeg([*source, "-an", *H264, "-f", "mp4", str(path)], pixels)


def _run_ffmpeg(arguments: list[str], given: bytes = b"") -> None:
    command = [_ffmpeg(), "-y", "-loglevel", "error", *arguments]
    result = subprocess.run(command, input=given, capture_output=True, check=False)
    if result.returncode != 0:
        reason = result.stderr.decode(errors="replace").strip()
        raise ValueError(f"ffmpeg could not write {Path(arguments[-1]).name}: {reason}")


def _ffmpeg() -> str:
    """The program's path: $IMAGEIO_FFMPEG_EXE, or the one that imageio-ffmpeg brings."""
    import imageio_ffmpeg

    try:
        program = shutil.which(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        program = None
    if program is None:
        raise ValueError(
            "Videos need ffmpeg: reinstall imageio-ffmpeg, which brings one, or set IMAGEIO_FFMPEG_EXE."
        )
    return program
