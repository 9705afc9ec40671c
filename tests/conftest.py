"""What several test folders share: the optional material beside the project, and a quiet environment."""

import atexit
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference outputs and original meshes beside the project; tests that need them skip without."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (reference fixtures), which is not here")
    return SHARED


@pytest.fixture(scope="session")
def original_assets(shared_dir: Path) -> Path:
    """LIBERO's own meshes."""
    folder = shared_dir / "libero-assets"
    if not folder.is_dir():
        pytest.skip("needs ../shared/libero-assets (LIBERO's meshes), which is not here")
    return folder


class End:
    """Ends the process when all is said, with pytest's own exit status.

    OpenGL drivers, vLLM and Ray have all been in this one process: taking Python apart around their threads
    has crashed it after the last test had passed. That commands end well is tested on commands.
    """

    status = 1
    """Of a session that did not even begin."""

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.status = int(exitstatus)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(End())
