"""Makes LIBERO importable in this process: no questions on stdin, no log spam, nothing written into
site-packages.

In: the asset folder. Out: `import libero.libero.envs` works and builds tasks from that folder. Cheap to
repeat; a spawned process has to do it again, because what it sets is lost on the way.
"""

import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any

from envs.cache import cache_folder, write_once


def prepare(assets: Path) -> None:
    _configure_libero()
    _configure_numba()
    _configure_robosuite()
    _silence_mujoco()
    _use_assets(assets)


def _configure_libero() -> None:
    """LIBERO asks on stdin for its folders unless a configuration file exists, so one does."""
    folder = cache_folder("libero-config")
    root = _package_folder("libero") / "libero"
    paths = {
        "benchmark_root": root,
        "bddl_files": root / "bddl_files",
        "init_states": root / "init_files",
        "datasets": folder / "datasets",
        "assets": folder / "assets",
    }
    text = "".join(f"{name}: {path}\n" for name, path in paths.items())
    write_once(folder / "config.yaml", text.encode())
    os.environ["LIBERO_CONFIG_PATH"] = str(folder)


def _configure_numba() -> None:
    """robosuite asks numba to cache its functions; without this they land beside its sources."""
    import numba

    numba.config.CACHE_DIR = str(cache_folder("numba"))


def _configure_robosuite() -> None:
    """Sets robosuite's macros before anything reads them: no shared log file, no warnings on import."""
    if "robosuite" in sys.modules:
        return
    macros = _load_alone("robosuite", "macros")
    macros.CONSOLE_LOGGING_LEVEL = None
    macros.FILE_LOGGING_LEVEL = None
    macros.MUJOCO_GPU_RENDERING = False
    # robosuite loads a GL library on import: the one `renderer.activate` chose, or none without pictures.
    os.environ.setdefault("MUJOCO_GL", "disabled")
    # Its presence is all that robosuite looks for before it warns on import.
    sys.modules["robosuite.macros_private"] = types.ModuleType("robosuite.macros_private")


def _silence_mujoco() -> None:
    """MuJoCo writes warnings to a file in the working folder; `SimulationDivergedError` reports them here."""
    import mujoco

    mujoco.set_mju_user_warning(_ignore_warning)


def _ignore_warning(message: str) -> None:
    pass


def _use_assets(assets: Path) -> None:
    import libero.libero

    libero.libero._assets_path_cache = str(assets)


def _load_alone(package: str, name: str) -> Any:
    """Imports one module of a package without running the package's own `__init__`."""
    full_name = f"{package}.{name}"
    spec = importlib.util.spec_from_file_location(full_name, _package_folder(package) / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))
