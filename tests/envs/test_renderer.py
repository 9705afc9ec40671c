"""Which OpenGL works here, and what is said when none does."""

import os
import subprocess
import sys

import pytest

from envs import renderer
from envs.renderer import RendererInfo


def test_probe_draws_and_names_the_renderer() -> None:
    info = renderer.probe()
    assert info.backend in renderer.BACKENDS
    assert info.gl_renderer
    assert (info.device is None) == (info.backend == "osmesa")


def test_osmesa_is_used_where_the_user_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    info = renderer.probe.__wrapped__()
    assert info.backend == "osmesa"
    assert info.is_software


def test_devices_are_shared_evenly() -> None:
    info = RendererInfo(backend="egl", device=0, gl_renderer="NVIDIA H200", devices=(0, 2, 3))
    assert [info.device_for(worker) for worker in range(6)] == [0, 2, 3, 0, 2, 3]


def test_hardware_is_preferred_to_software() -> None:
    software = RendererInfo(backend="egl", device=0, gl_renderer="llvmpipe (LLVM 15)")
    gpus = [RendererInfo(backend="egl", device=device, gl_renderer="NVIDIA H200") for device in (1, 2)]
    best = renderer._best([software, *gpus])
    assert (best.device, best.devices, best.is_software) == (1, (1, 2), False)


def test_without_any_renderer_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "99")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(
        ValueError, match=r"egl device 99: .+\. Install one, on Debian: apt-get install libegl1"
    ):
        renderer.probe.__wrapped__()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The trials begun, none of which ever answers."""
    begun = []

    def hang(backend: str, device: int | None = None) -> subprocess.Popen[str]:
        code = [sys.executable, "-c", "import time; time.sleep(60)"]
        begun.append(subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    monkeypatch.setattr(renderer, "DEADLINE_S", 0.2)
    monkeypatch.setattr(renderer, "_trial", hang)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "0")
    return begun


def test_a_renderer_that_hangs_is_tried_twice_and_named(hanging: list[subprocess.Popen[str]]) -> None:
    with pytest.raises(ValueError, match=r"egl device 0: no answer in 2 x 0\.2 s"):
        renderer.probe.__wrapped__()
    assert len(hanging) == renderer.TRIES
    assert all(trial.returncode is not None for trial in hanging)  # not left behind


def test_a_renderer_that_answers_late_gets_its_second_try(
    hanging: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, draw = renderer._trial, "import json; print(json.dumps({'gl_renderer': 'llvmpipe'}))"

    def late_once(backend: str, device: int | None = None) -> subprocess.Popen[str]:
        if not hanging:
            return hang(backend, device)
        monkeypatch.setattr(renderer, "DEADLINE_S", 30)
        return subprocess.Popen([sys.executable, "-c", draw], stdout=-1, stderr=-1, text=True)

    monkeypatch.setattr(renderer, "_trial", late_once)
    assert renderer.probe.__wrapped__().gl_renderer == "llvmpipe"


def test_activation_is_seen_by_mujoco(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUJOCO_GL", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID"):
        monkeypatch.setenv(name, "")
    renderer.activate(RendererInfo(backend="egl", device=3, gl_renderer="NVIDIA H200"))
    assert (os.environ["MUJOCO_GL"], os.environ["MUJOCO_EGL_DEVICE_ID"]) == ("egl", "3")
