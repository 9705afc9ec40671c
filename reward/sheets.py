"""Pictures for people: an episode's labels on one sheet, and scores over episodes.

In: frames, motion and labels, or scores. Out: PNG files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np

from reward.labels import LabelOptions, Labels
from reward.motion import Motion

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure

NUM_PICTURES = 8
NUM_SCORED_PICTURES = 6
INK, FAINT = "#333a44", "#9aa3ad"
BLUE, ORANGE, GREEN, RED = "#2b6cb0", "#dd8a2e", "#2f8f5b", "#c53d3d"
SEGMENT_COLORS = ("#f4f5f7", "#e4ecf6")
ANSWER_COLORS = ListedColormap(["#ffffff", "#cfd5dc", GREEN])
"""Not asked, no, yes."""
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredEpisode:
    """What a score sheet shows of one episode."""

    title: str
    success: bool
    frames: np.ndarray
    """(N, H, W, 3)."""
    seconds: np.ndarray
    """(N,) when each was seen."""
    scores: np.ndarray
    """(N,) 0..1."""


def label_sheet(
    path: Path, title: str, frames_THWC: np.ndarray, motion: Motion, labels: Labels, options: LabelOptions
) -> None:
    """Frames, gripper, speed, segments and labels of one episode."""
    seconds = np.arange(motion.num_samples) / motion.rate_hz
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13, 8.2), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        grid = figure.add_gridspec(5, NUM_PICTURES, height_ratios=(1.35, 1, 1, 1, 0.5))
        for column, sample in enumerate(_shown_samples(labels, len(frames_THWC))):
            color = RED if sample in labels.keyframes else INK
            axis = figure.add_subplot(grid[0, column])
            _picture(axis, frames_THWC[sample], f"{seconds[sample]:.1f} s", color)
        axes = [figure.add_subplot(grid[row, :]) for row in range(1, 5)]
        _gripper(axes[0], seconds, motion)
        _speed(axes[1], seconds, motion, options)
        axes[2].plot(seconds, labels.progress, color=GREEN)
        axes[2].set(ylabel="progress", ylim=(-0.05, 1.1))
        _answers(axes[3], seconds, labels)
        for axis in axes[:3]:
            _mark(axis, seconds, labels)
        for axis in axes[:2]:
            axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes[3].set_xlabel("seconds; red: keyframes, shades: the segments between them")
        _align(figure, axes, seconds)
        _save(path)


def score_sheet(path: Path, episodes: Sequence[ScoredEpisode]) -> None:
    """The pictures of each episode, and its score over time below them."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13, 3.3 * len(episodes)), layout="constrained")
        parts = figure.subfigures(len(episodes), 1, squeeze=False)[:, 0]
        longest = max(episode.seconds[-1] for episode in episodes)
        for part, episode in zip(parts, episodes, strict=True):
            _scored_episode(part, episode, longest)
        _save(path)


def _scored_episode(part: SubFigure, episode: ScoredEpisode, longest: float) -> None:
    part.suptitle(episode.title, x=0.01, ha="left", fontsize=11)
    grid = part.add_gridspec(2, NUM_SCORED_PICTURES, height_ratios=(1.15, 1))
    shown = np.linspace(0, len(episode.frames) - 1, NUM_SCORED_PICTURES).astype(int)
    for column, row in enumerate(shown):
        caption = f"{episode.seconds[row]:.1f} s: {episode.scores[row]:.2f}"
        _picture(part.add_subplot(grid[0, column]), episode.frames[row], caption, INK)
    axis = part.add_subplot(grid[1, :])
    _score_curve(axis, episode, shown)
    axis.set(xlim=(0, longest), xlabel="seconds")


def late_motion(frames_NHWC: np.ndarray) -> float:
    """How much pictures change from one to the next in the last quarter of an episode: little in a stall."""
    late = frames_NHWC[-max(2, len(frames_NHWC) // 4) :].astype(np.int16)
    return float(np.abs(np.diff(late, axis=0)).mean())


def _picture(axis: Axes, frame: np.ndarray, caption: str, color: str) -> None:
    axis.imshow(frame)
    axis.set_title(caption, fontsize=9, color=color)
    axis.axis("off")


def _gripper(axis: Axes, seconds_T: np.ndarray, motion: Motion) -> None:
    axis.plot(seconds_T, motion.opening * 1000, color=BLUE, label="measured")
    commanded = 40 - 40 * np.sign(motion.command)
    axis.step(seconds_T, commanded, color=ORANGE, linestyle=":", where="post", label="commanded")
    axis.set(ylabel="gripper, mm", ylim=(-5, 88))


def _speed(axis: Axes, seconds_T: np.ndarray, motion: Motion, options: LabelOptions) -> None:
    axis.plot(seconds_T, motion.speed, color=BLUE, label="end effector")
    if motion.object_speed is not None:
        axis.plot(seconds_T, motion.object_speed, color=ORANGE, linewidth=1, label="fastest object")
    axis.axhline(options.rest_speed, color=FAINT, linestyle=":", label="at rest below")
    axis.set(ylabel="speed, m/s", ylim=(0, 1.3 * max(motion.speed.max(), options.rest_speed)))


def _answers(axis: Axes, seconds_T: np.ndarray, labels: Labels) -> None:
    """Two strips: which answer is right when."""
    answers_2T = np.nan_to_num(np.stack([labels.done, labels.step]), nan=-1.0) + 1
    edges = np.append(seconds_T, 2 * seconds_T[-1] - seconds_T[-2])
    axis.pcolormesh(edges, [0, 1, 2], answers_2T, cmap=ANSWER_COLORS, vmin=0, vmax=2)
    axis.axhline(1, color="white", linewidth=3)
    axis.set_yticks([0.5, 1.5], ["task done?", "step reached?"])
    axis.tick_params(left=False)
    axis.text(
        1.005,
        0.5,
        "green: yes\ngrey: no\nwhite: not asked",
        transform=axis.transAxes,
        va="center",
        fontsize=9,
    )


def _score_curve(axis: Axes, episode: ScoredEpisode, shown: np.ndarray) -> None:
    color = GREEN if episode.success else RED
    axis.plot(episode.seconds, episode.scores, color=color, linewidth=2)
    axis.fill_between(episode.seconds, episode.scores, color=color, alpha=0.12)
    axis.plot(episode.seconds[shown], episode.scores[shown], "o", color=color)
    axis.set(ylim=(0, 1.05), yticks=(0, 0.5, 1), ylabel="score")
    axis.grid(axis="y", color=FAINT, alpha=0.3)


def _shown_samples(labels: Labels, num_samples: int) -> list[int]:
    """The keyframes, and evenly spaced samples beside them."""
    keyframes = labels.keyframes[: NUM_PICTURES - 2]
    even = np.linspace(0, num_samples - 1, NUM_PICTURES - len(keyframes)).astype(int)
    return sorted({*keyframes, *map(int, even)})


def _mark(axis: Axes, seconds_T: np.ndarray, labels: Labels) -> None:
    edges = [0, *labels.keyframes, len(seconds_T) - 1]
    for number, (begin, end) in enumerate(pairwise(edges)):
        axis.axvspan(seconds_T[begin], seconds_T[end], color=SEGMENT_COLORS[number % 2], linewidth=0)
    for keyframe in labels.keyframes:
        axis.axvline(seconds_T[keyframe], color=RED, linewidth=1)


def _align(figure: Figure, axes: Sequence[Axes], seconds_T: np.ndarray) -> None:
    for axis in axes:
        axis.set_xlim(0, seconds_T[-1])
    for axis in axes[:-1]:
        axis.tick_params(labelbottom=False)
    figure.align_ylabels(axes)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=80)
    plt.close()
