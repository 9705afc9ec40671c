"""A made-up run, a dashboard that serves it, and a browser that looks at it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser, find_chromium
from tests.dashboard.fuzz import make_trap
from tests.dashboard.serving import Served, serving
from tests.dashboard.synthetic import Story, SyntheticRun


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that are over, one of another kind, one with alarms, and traps that lead out of the first."""
    folder = tmp_path_factory.mktemp("runs")
    now = time.time()
    SyntheticRun(folder / "run", Story(num_updates=60, num_episodes=300, num_tasks=4, now=now)).write()
    make_trap(folder / "run")
    other = SyntheticRun(folder / "other", Story(num_updates=40, num_episodes=80, num_tasks=2, now=now - 900))
    config = (folder / "other" / "config.yaml").read_text()
    config = config.replace("libero_spatial", "libero_goal").replace("kind: gae", "kind: grpo")
    (folder / "other" / "config.yaml").write_text(config)
    other.write()
    sick = {"learner/entropy": 0.03, "weights/probe_change": 0.0, "rollout/success": 0.2}
    story = Story(
        num_updates=60, num_episodes=200, num_tasks=4, gain=0, now=now - 2000, metrics=sick, ended=False
    )
    SyntheticRun(folder / "sick", story).write()
    return folder


@pytest.fixture(scope="session")
def served(runs: Path) -> Iterator[Served]:
    """The real command over those runs."""
    with serving(runs) as found:
        yield found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    program = find_chromium()
    if program is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium), which is not installed")
    with Browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found
