"""The pictures of docs/dashboard.md, made anew.

    python -m tests.dashboard.screenshots [FOLDER]

In: nothing (runs are made up, seed 0). Out: PNG files in docs/images/, small enough for the repository.
"""

import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.dashboard.browser import Browser, find_chromium
from tests.dashboard.serving import Served, serving
from tests.dashboard.synthetic import Story, SyntheticRun

FILM = Path("docs/videos/expert_libero_spatial_3.mp4")
"""A real robot, though not of these runs: their numbers are made up."""
SICK = {
    "learner/entropy": lambda progress: max(0.04, 2.0 - 4 * progress),
    "rollout/success": 0.21,
    "rollout/episode_steps": lambda progress: 120 + 80 * progress,
    "learner/lag_mean": 1.95,
    "learner/lag_max": 2.0,
}


def make_runs(folder: Path) -> None:
    """A good run, its control, and one in trouble."""
    now = time.time() - 40
    SyntheticRun(folder / "spatial-frontier", Story(now=now, num_episodes=2400, film=FILM)).write()
    SyntheticRun(
        folder / "spatial-uniform", Story(now=now - 500, num_episodes=2400, gain=0.2, seed=1)
    ).write()
    trouble = Story(now=now, gain=0, metrics=SICK, ended=False, num_episodes=2400, seed=2)
    run = SyntheticRun(folder / "spatial-high-lr", trouble).write()
    for minute, reason in ((9, "killed by signal 9"), (6, "no answer for 60 s"), (2, "killed by signal 9")):
        at = trouble.num_updates - 3 * minute
        run.append("events.jsonl", run.event(at, "fault", fault="replica", reason=f"0: {reason}", count=1))


class Photographer:
    """Opens a run in a window of some size and colours, and keeps what it sees."""

    def __init__(self, browser: Browser, served: Served, folder: Path) -> None:
        self._browser, self._served, self._folder = browser, served, folder

    def show(self, runs: str, *, width: int = 1280, height: int = 860, dark: bool = False) -> None:
        self._browser.look(width, height, dark=dark, phone=width < 500)
        self._browser.open(f"{self._served.address}#{runs}")
        self._browser.wait_for("document.querySelector('video').readyState >= 2", 60)
        time.sleep(1.0)

    def scroll_to(self, section: str) -> None:
        self._browser.evaluate(f"document.querySelector('#{section}').scrollIntoView()")
        time.sleep(0.5)

    def play_to(self, share: float) -> None:
        """The newest training success, at this share of its length."""
        self._browser.evaluate("document.querySelector('[data-order=best]').click()")
        time.sleep(1.0)
        self._browser.evaluate("document.querySelectorAll('.episodes button')[2].click()")
        self._browser.wait_for("document.querySelectorAll('.moment').length === 3")
        self._browser.wait_for("document.querySelector('video').readyState >= 2")
        self._browser.evaluate(
            f"(v => {{ v.pause(); v.controls = false; v.currentTime = v.duration * {share}; }})"
            "(document.querySelector('video'))"
        )
        time.sleep(1.0)

    def keep(self, name: str) -> None:
        path = self._folder / f"dashboard-{name}.png"
        self._browser.screenshot(path)
        Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
        print(path, path.stat().st_size // 1024, "KB")


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    program = find_chromium()
    if program is None:
        raise SystemExit("screenshots need Chromium")
    with tempfile.TemporaryDirectory() as name:
        make_runs(Path(name, "runs"))
        with serving(Path(name, "runs")) as served, Browser(program, Path(name, "profile")) as browser:
            take_all(Photographer(browser, served, out))


def take_all(camera: Photographer) -> None:
    camera.show("run=spatial-frontier")
    camera.keep("light")
    camera.play_to(0.5)
    camera.scroll_to("videos")
    camera.keep("episode")
    camera.scroll_to("practice")
    camera.keep("practice")
    camera.show("run=spatial-frontier", dark=True)
    camera.scroll_to("health")
    camera.keep("dark")
    camera.show("run=spatial-high-lr")
    camera.scroll_to("attention")
    camera.keep("alarms")
    camera.show("run=spatial-frontier&with=spatial-uniform")
    camera.keep("compare")
    camera.show("run=spatial-high-lr", width=390, height=844)
    camera.keep("phone")


if __name__ == "__main__":
    main()
