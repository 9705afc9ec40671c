"""Which OpenGL this machine can really draw with.

In: nothing. Out: a RendererInfo, after test pictures in subprocesses with a deadline, because drivers may
hang or crash at first use. Who misses the deadline gets another try, since the machine may be busy. An EGL
device's index is not the CUDA index, and a missing driver file silently gives software: so the renderer's own
name is reported.

MUJOCO_GL (egl or osmesa) and MUJOCO_EGL_DEVICE_ID, where set, are the user's choice and the only ones
tried.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

DEADLINE_S = 60.0
TRIES = 2
BACKENDS = ("egl", "osmesa")
_SOFTWARE = ("llvmpipe", "softpipe", "swrast", "software")
_INSTALL = "apt-get install libegl1 libgl1 libgl1-mesa-dri libegl-mesa0 libosmesa6"


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererInfo:
    backend: str
    """egl or osmesa."""
    device: int | None
    """EGL device index; None for OSMesa."""
    gl_renderer: str
    """The driver's own name of itself (GL_RENDERER)."""
    devices: tuple[int, ...] = ()
    """Every EGL device of the same kind, for workers to share."""

    @property
    def is_software(self) -> bool:
        return any(name in self.gl_renderer.lower() for name in _SOFTWARE)

    def device_for(self, worker: int) -> int | None:
        """The device of the worker with this number: devices are shared evenly."""
        return self.devices[worker % len(self.devices)] if self.devices else None


def activate(info: RendererInfo) -> None:
    """Makes this process draw with it; call before LIBERO is imported and before anything draws."""
    os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = info.backend
    if info.device is not None:
        os.environ["MUJOCO_EGL_DEVICE_ID"] = str(info.device)
    # Mesa's software renderer starts a thread per core in every process, which small pictures only wait for.
    os.environ.setdefault("LP_NUM_THREADS", "0")


def is_active() -> bool:
    return os.environ.get("MUJOCO_GL") in BACKENDS and "PYOPENGL_PLATFORM" in os.environ


@cache
def probe() -> RendererInfo:
    """The best renderer that works here: EGL in hardware, else EGL in software, else OSMesa."""
    chosen = os.environ.get("MUJOCO_GL")
    failures: list[str] = []
    for backend in (chosen,) if chosen in BACKENDS else BACKENDS:
        if working := _working(backend, failures):
            return _best(working)
    raise ValueError(
        f"No OpenGL renderer works here: {'; '.join(failures)}. "
        f"Install one, on Debian: {_INSTALL}; or use render=None where no pictures are needed."
    )


def _best(working: list[RendererInfo]) -> RendererInfo:
    in_hardware = [info for info in working if not info.is_software]
    alike = in_hardware or working
    return replace(alike[0], devices=tuple(info.device for info in alike if info.device is not None))


def _working(backend: str, failures: list[str]) -> list[RendererInfo]:
    answers = _answers(backend, _devices(backend, failures), failures)
    return [
        RendererInfo(
            backend=backend, device=device if backend == "egl" else None, gl_renderer=answer["gl_renderer"]
        )
        for device, answer in answers.items()
    ]


def _devices(backend: str, failures: list[str]) -> list[int | None]:
    """Those to try."""
    if backend == "osmesa":
        return [0]
    if (chosen := os.environ.get("MUJOCO_EGL_DEVICE_ID")) is not None:
        return [int(chosen)]
    counted = _answers("egl", [None], failures)
    return list(range(counted[None]["num_devices"])) if counted else []


def _answers(
    backend: str, devices: list[int | None], failures: list[str]
) -> dict[int | None, dict[str, Any]]:
    """What devices that work say, all tried at the same time; `failures` gets what ails the others."""
    answers, untried = {}, devices
    for _ in range(TRIES):
        trials = {device: _trial(backend, device) for device in untried}
        untried = []
        for device, trial in trials.items():
            try:
                answers[device] = _answer(trial)
            except subprocess.TimeoutExpired:
                untried.append(device)
            except RuntimeError as error:
                failures.append(f"{backend}{_named(device)}: {error}")
    failures += [f"{backend}{_named(device)}: no answer in {TRIES} x {DEADLINE_S:g} s" for device in untried]
    return answers


def _named(device: int | None) -> str:
    return "" if device is None else f" device {device}"


def _trial(backend: str, device: int | None = None) -> subprocess.Popen[str]:
    """Starts `renderer_trial.py`: draws on the device, or counts devices if none is given."""
    script = Path(__file__).with_name("renderer_trial.py")
    environment = os.environ | {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
    if device is not None:
        environment["MUJOCO_EGL_DEVICE_ID"] = str(device)
    # -P: this folder's modules must not shadow the standard library's.
    command = [sys.executable, "-P", str(script), "count" if device is None else "draw"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _answer(trial: subprocess.Popen[str]) -> dict[str, Any]:
    """Raises TimeoutExpired if it hangs, RuntimeError if it fails or crashes."""
    try:
        output, _ = trial.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.communicate()
        raise
    if trial.returncode != 0:
        raise RuntimeError(output.strip() or f"exit code {trial.returncode}")
    answer: dict[str, Any] = json.loads(output)
    return answer
