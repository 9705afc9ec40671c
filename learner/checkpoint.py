"""Checkpoint folders that exist whole or not at all, and fall back to the one before when damaged.

In: a function that writes files into a folder. Out: `checkpoints/000200/` with a manifest of checksums, the
link `last`, and old folders pruned. Everything is written under a temporary name, flushed and renamed;
nothing in it is pickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

MANIFEST = "manifest.json"
LAST = "last"


class DamagedCheckpointError(Exception):
    """A checkpoint whose files are not those its manifest promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCheckpoint:
    """The newest checkpoint that can be trusted."""

    folder: Path | None
    """None where there is none."""
    damaged: list[str]
    """What was passed over, and why; newest first."""


def write_checkpoint(root: Path, number: int, write: Callable[[Path], None], *, keep: int) -> Path:
    """Let `write` fill a folder, seal it as `root/{number:06d}`, and keep the newest `keep` folders.

    Those of higher numbers go: they were damaged, or are of a course of the run that was given up.
    """
    root.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(root)
    target = root / f"{number:06d}"
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=root))
    try:
        write(temporary)
        _write_manifest(temporary, number)
        _flush_tree(temporary)
    except (OSError, SafetensorError) as error:  # a full disk is not left fuller
        shutil.rmtree(temporary)
        raise OSError(str(error)) from error
    if target.exists():  # written once already by a run that was resumed from before it
        shutil.rmtree(target)
    temporary.rename(target)
    _flush(root)
    _point_last_at(root, target.name)
    _prune(root, number, keep)
    return target


def find_checkpoint(root: Path) -> FoundCheckpoint:
    """The newest checkpoint whose every file has the checksum its manifest gives."""
    damaged = []
    for folder in reversed(list_checkpoints(root)):
        try:
            verify_checkpoint(folder)
        except DamagedCheckpointError as error:
            damaged.append(str(error))
        else:
            return FoundCheckpoint(folder=folder, damaged=damaged)
    return FoundCheckpoint(folder=None, damaged=damaged)


def list_checkpoints(root: Path) -> list[Path]:
    """All sealed folders, oldest first, trusted or not."""
    if not root.is_dir():
        return []
    return sorted((f for f in root.iterdir() if f.is_dir() and f.name.isdigit()), key=lambda f: int(f.name))


def verify_checkpoint(folder: Path) -> None:
    """Raise `DamagedCheckpointError` unless the folder holds exactly what its manifest says."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedCheckpointError(f"{folder.name}: its manifest cannot be read ({error!r})") from error
    for name, checksum in files.items():
        if not (folder / name).is_file():
            raise DamagedCheckpointError(f"{folder.name}: {name} is missing")
        if _checksum(folder / name) != checksum:
            raise DamagedCheckpointError(f"{folder.name}: {name} does not have the checksum of its manifest")


def _write_manifest(folder: Path, number: int) -> None:
    files = {str(file.relative_to(folder)): _checksum(file) for file in _files(folder)}
    (folder / MANIFEST).write_text(json.dumps({"number": number, "files": files}, indent=2) + "\n")


def _point_last_at(root: Path, name: str) -> None:
    temporary = root / f".{LAST}-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(name)
    temporary.replace(root / LAST)
    _flush(root)


def _prune(root: Path, number: int, keep: int) -> None:
    folders = list_checkpoints(root)
    course = [folder for folder in folders if int(folder.name) <= number]
    for folder in folders:
        if folder not in course[-max(keep, 1) :]:
            shutil.rmtree(folder)


def _remove_unfinished(root: Path) -> None:
    """What a killed writer left behind."""
    for folder in root.glob(".[0-9]*-*"):
        shutil.rmtree(folder)


def _flush_tree(folder: Path) -> None:
    for file in _files(folder):
        _flush(file)
    for inner in [folder, *(f for f in folder.rglob("*") if f.is_dir())]:
        _flush(inner)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
