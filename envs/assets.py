"""Which meshes the simulator uses.

In: "auto", "primitive", "libero" or a folder. Out: a folder with everything LIBERO's tasks load.
"""

import os
import tempfile
from pathlib import Path

from envs.asset_hashes import check_hashes, write_hashes
from envs.cache import cache_folder

PARTS = (
    "articulated_objects",
    "scenes",
    "stable_hope_objects",
    "stable_scanned_objects",
    "textures",
    "turbosquid_objects",
)
HUB_DEADLINE_S = 10.0
"""For the hub to answer at all."""
_HUB_DATASET = "lerobot/libero-assets"


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


def _missing(folder: Path) -> list[str]:
    return [part for part in PARTS if not (folder / part).is_dir()]


def _checked(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(
            f"Asset folder {folder} does not exist; "
            "allowed are auto, primitive, libero or a folder with LIBERO's assets."
        )
    if missing := _missing(folder):
        raise ValueError(
            f"Asset folder {folder} is incomplete: it lacks {', '.join(missing)}. "
            f"Use a complete copy of LIBERO's assets, or assets=primitive."
        )
    return folder


def _libero_assets() -> Path:
    """hf-libero's own download if it is there, else ours; fetched now, whole or not at all, if neither is."""
    theirs = Path.home() / ".cache" / "libero" / "assets"
    if not _missing(theirs):
        return theirs
    ours = cache_folder("assets") / "libero"
    if not ours.is_dir():
        with tempfile.TemporaryDirectory(dir=ours.parent, ignore_cleanup_errors=True) as temporary:
            _download(Path(temporary))
            write_hashes(_checked(Path(temporary)))
            try:
                Path(temporary).rename(ours)
            except OSError:
                if not ours.is_dir():  # else another process was faster
                    raise
    check_hashes(ours)
    return ours


def _download(folder: Path) -> None:
    import huggingface_hub

    try:
        huggingface_hub.HfApi().dataset_info(_HUB_DATASET, timeout=HUB_DEADLINE_S)
        huggingface_hub.snapshot_download(_HUB_DATASET, repo_type="dataset", local_dir=folder)
    except Exception as error:  # the hub's client raises whatever its network stack does
        raise ValueError(
            f"LIBERO's assets could not be fetched from the model hub ({type(error).__name__}: {error}). "
            "Without a hub, use assets=primitive, or assets=FOLDER (or LIBERO_ASSETS) with a copy of them."
        ) from error
