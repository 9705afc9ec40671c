"""Where the generated assets live: one folder for each version of the sources, checked before use.

Any number of processes may ask at once. Each that finds nothing builds a folder of its own under a temporary
name and renames it into place; the first one wins and the others use its result. No locks, so nothing can be
left locked.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from envs.cache import cache_folder

SOURCES = Path(__file__).parent
MANIFEST = "manifest.txt"
"""Its own checksum on the first line, then those of all files as JSON."""


def primitive_assets() -> Path:
    """The folder of primitive assets, made at the first call on a machine and whenever it was damaged."""
    folder = cache_folder("assets") / f"primitive-{_sources_digest()}"
    while not _is_whole(folder):
        _build_and_swap(folder)
    return folder


def is_primitive(folder: Path) -> bool:
    """Whether these assets were made here."""
    return (folder / MANIFEST).is_file()


def build(folder: Path) -> None:
    """Write the complete asset folder, with a manifest of checksums as its last file."""
    files = _all_files()
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    digests = json.dumps({path: _digest(data) for path, data in sorted(files.items())}, indent=1)
    (folder / MANIFEST).write_text(f"{_digest(digests.encode())}\n{digests}")


def _all_files() -> dict[str, bytes]:
    # Imported here: a process that finds the cache filled needs none of it.
    from envs.primitives.arenas import arena_files
    from envs.primitives.articulated import articulated_files
    from envs.primitives.objects import object_files
    from envs.primitives.textures import texture_files

    return arena_files() | articulated_files() | object_files() | texture_files()


def _build_and_swap(folder: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        build(fresh / "new")
        if folder.exists() and not _is_whole(folder):
            _move_aside(folder, fresh / "damaged")
        _move_if_free(fresh / "new", folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _move_aside(folder: Path, elsewhere: Path) -> None:
    try:
        folder.rename(elsewhere)
    except FileNotFoundError:
        return  # another process was faster


def _move_if_free(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():
            raise  # not a race: the disk is full, or the folder is not ours to write


def _is_whole(folder: Path) -> bool:
    try:
        own_digest, digests = (folder / MANIFEST).read_text().split("\n", 1)
        if _digest(digests.encode()) != own_digest:
            return False
        wanted = json.loads(digests).items()
        return all(_digest((folder / path).read_bytes()) == digest for path, digest in wanted)
    except (OSError, ValueError):
        return False


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted([*SOURCES.glob("*.py"), *SOURCES.glob("*.csv")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
