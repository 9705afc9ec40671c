"""The contact sheet of docs/scenes.md: the first frame of 40 tasks as a policy in training
sees it, primitive assets beside LIBERO's own.

    python -m envs.primitives.sheet --original FOLDER [--output docs/images/scenes.png]

In: a folder with LIBERO's own assets. Out: a picture of pairs, one row of five for half a suite.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from core.config import RenderMode
from core.types import Start, StateSource
from envs.assets import resolve_assets
from envs.environment import LiberoEnv
from envs.suites import Task, suite_tasks

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
SIZE = 128
PAIRS_PER_ROW = 5
CAPTION_HEIGHT = 12


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--original", required=True, help="folder with LIBERO's own assets, or `libero`")
    parser.add_argument("--output", type=Path, default=Path("docs/images/scenes.png"))
    arguments = parser.parse_args()
    folders = [resolve_assets("primitive"), resolve_assets(arguments.original)]
    pairs = [_pair(task, folders) for suite in SUITES for task in suite_tasks(suite)]
    rows = [np.hstack(pairs[first : first + PAIRS_PER_ROW]) for first in range(0, len(pairs), PAIRS_PER_ROW)]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(arguments.output, optimize=True)
    print(arguments.output)


def _pair(task: Task, folders: list[Path]) -> np.ndarray:
    """Both frames with the task's name above, (CAPTION_HEIGHT + SIZE, 2 SIZE, 3) uint8."""
    frames = [_first_frame(task, folder) for folder in folders]
    caption = Image.new("RGB", (len(frames) * SIZE, CAPTION_HEIGHT), "white")
    ImageDraw.Draw(caption).text((2, 0), str(task.id), fill="black")
    return np.vstack([np.asarray(caption), np.hstack(frames)])


def _first_frame(task: Task, folder: Path) -> np.ndarray:
    env = LiberoEnv(task, assets=folder, render=RenderMode.FAST, size=SIZE)
    observation, _ = env.reset(Start(task=task.id, source=StateSource.PUBLISHED, number=0))
    env.close()
    return observation["frame"]


if __name__ == "__main__":
    main()
