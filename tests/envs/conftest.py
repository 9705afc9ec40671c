"""Built environments for the tests of `envs`, on the project's own assets: building one takes seconds."""

from pathlib import Path

import pytest

from core.types import Start, StateSource, TaskId
from envs.assets import resolve_assets
from envs.environment import LiberoEnv
from envs.suites import task

SIZE = 64


@pytest.fixture(scope="session")
def primitive() -> Path:
    return resolve_assets("primitive")


@pytest.fixture(scope="session")
def env(primitive: Path) -> LiberoEnv:
    """The first spatial task; every test resets it."""
    return LiberoEnv(
        task(TaskId(suite="libero_spatial", index=0)),
        assets=primitive,
        size=SIZE,
        cameras=("agentview", "robot0_eye_in_hand"),
    )


def start(env: LiberoEnv, number: int = 0, source: StateSource = StateSource.PUBLISHED) -> Start:
    return Start(task=env.task.id, source=source, number=number)
