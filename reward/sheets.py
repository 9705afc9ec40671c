"""Pictures for people: an episode's labels on one sheet, and scores over episodes.

In: frames, motion and labels, or scores. Out: PNG files.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np

from reward.labels import LabelOptions, Labels
from reward.motion import Motion

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

NUM_PICTURES = 8
KEYFRAME_COLOR, SEGMENT_COLORS = "tab:red", ("#eeeeee", "#dfe8f5")


def label_sheet(
    path: Path, title: str, frames_THWC: np.ndarray, motion: Motion, labels: Labels, options: LabelOptions
) -> None:
    """Frames, gripper, speed, segments and labels of one episode."""
    figure = plt.figure(figsize=(13, 8), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(4, NUM_PICTURES, height_ratios=(1.5, 1, 1, 1))
    for column, sample in enumerate(_shown_samples(labels, len(frames_THWC))):
        _picture(figure.add_subplot(grid[0, column]), frames_THWC, sample, sample in labels.keyframes)
    seconds = np.arange(motion.num_samples) / motion.rate_hz
    axes = [figure.add_subplot(grid[row, :]) for row in (1, 2, 3)]
    axes[0].plot(seconds, motion.opening * 1000, label="measured opening, mm")
    axes[0].step(seconds, 40 - 40 * np.sign(motion.command), ":", where="post", label="commanded")
    axes[1].plot(seconds, motion.speed, label="end effector, m/s")
    axes[1].axhline(options.rest_speed, linestyle=":", color="gray", label="rest")
    if motion.object_speed is not None:
        axes[1].plot(
            seconds, np.minimum(motion.object_speed, 1), alpha=0.5, label="fastest object joint (to 1)"
        )
    for name in ("step", "done", "progress"):
        axes[2].plot(seconds, getattr(labels, name), label=name)
    axes[2].set_xlabel("seconds; red: keyframes; shades: segments; gaps: not asked")
    for axis in axes:
        _mark(axis, seconds, labels)
        axis.legend(loc="upper left", fontsize=8)
    _save(path)


def score_sheet(
    path: Path, episodes: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], num_pictures: int = 6
) -> None:
    """For each (title, frames, seconds, scores): the pictures, and the score over time below them."""
    figure = plt.figure(figsize=(13, 3.6 * len(episodes)), layout="constrained")
    grid = figure.add_gridspec(2 * len(episodes), num_pictures, height_ratios=(1.2, 1) * len(episodes))
    for number, (title, frames_NHWC, seconds_N, scores_N) in enumerate(episodes):
        shown = np.linspace(0, len(frames_NHWC) - 1, num_pictures).astype(int)
        for column, row in enumerate(shown):
            axis = figure.add_subplot(grid[2 * number, column])
            axis.imshow(frames_NHWC[row])
            axis.set_title(f"{seconds_N[row]:.1f} s: {scores_N[row]:.2f}", fontsize=9)
            axis.axis("off")
        axis = figure.add_subplot(grid[2 * number + 1, :])
        axis.plot(seconds_N, scores_N, marker=".")
        axis.set_ylim(0, 1.02)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    _save(path)


def _shown_samples(labels: Labels, num_samples: int) -> list[int]:
    """The keyframes, and evenly spaced samples beside them."""
    keyframes = labels.keyframes[: NUM_PICTURES - 2]
    even = np.linspace(0, num_samples - 1, NUM_PICTURES - len(keyframes)).astype(int)
    return sorted({*keyframes, *map(int, even)})


def _picture(axis: Axes, frames_THWC: np.ndarray, sample: int, is_keyframe: bool) -> None:
    axis.imshow(frames_THWC[sample])
    axis.set_title(f"sample {sample}", fontsize=9, color=KEYFRAME_COLOR if is_keyframe else "black")
    axis.axis("off")


def _mark(axis: Axes, seconds_T: np.ndarray, labels: Labels) -> None:
    edges = [0, *labels.keyframes, len(seconds_T) - 1]
    for number, (begin, end) in enumerate(pairwise(edges)):
        axis.axvspan(seconds_T[begin], seconds_T[end], color=SEGMENT_COLORS[number % 2])
    for keyframe in labels.keyframes:
        axis.axvline(seconds_T[keyframe], color=KEYFRAME_COLOR)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=70)
    plt.close()
