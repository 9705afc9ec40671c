"""Which meshes the simulator uses.

In: "auto", "primitive", "libero" or a folder. Out: a folder with everything LIBERO's tasks load.
"""

import os
from pathlib import Path

PARTS = (
    "articulated_objects",
    "scenes",
    "stable_hope_objects",
    "stable_scanned_objects",
    "textures",
    "turbosquid_objects",
)


def resolve_assets(source: str = "auto") -> Path:
    """auto: $LIBERO_ASSETS if it is set, else primitive assets made by this project's own code."""
    if source == "auto":
        source = os.environ.get("LIBERO_ASSETS") or "primitive"
    if source == "primitive":
        from envs.primitives import primitive_assets

        return primitive_assets()
    if source == "libero":
        return _libero_assets()
    return _checked(Path(source).expanduser().resolve())


def _checked(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(
            f"Asset folder {folder} does not exist; allowed are auto, primitive, libero or an existing folder."
        )
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise ValueError(
            f"Asset folder {folder} is incomplete: it lacks {', '.join(missing)}. "
            f"Use a complete copy of LIBERO's assets, or `assets=primitive`."
        )
    return folder


def _libero_assets() -> Path:
    raise NotImplementedError
