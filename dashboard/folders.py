"""Which runs there are, and the only door to their files.

In: the path that the user named: a run folder, or a folder of run folders. Out: names, and paths of regular
files that really lie inside their run folder, symbolic links included.
"""

from contextlib import suppress
from pathlib import Path


class RunFolders:
    """Everything that may be shown. Only folders found by listing are ever opened."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder; name a run folder, or the folder that holds the runs")
        self._root = root.resolve()
        self._is_run = _is_run(self._root)

    def listed(self) -> list[tuple[str, float]]:
        """Runs and when each was last active, the newest first."""
        runs = [self._root] if self._is_run else [path for path in self._children() if _is_run(path)]
        active = [(path.name, last_active(path)) for path in runs]
        return sorted(active, key=lambda run: run[1], reverse=True)

    def path(self, name: str) -> Path | None:
        """The folder of a run that is listed; names are compared, never followed."""
        if self._is_run:
            return self._root if name == self._root.name else None
        return next((path for path in self._children() if path.name == name and _is_run(path)), None)

    def _children(self) -> list[Path]:
        try:
            return [path for path in self._root.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return []


def _is_run(folder: Path) -> bool:
    return inside(folder, "config.yaml") is not None


def inside(folder: Path, name: str) -> Path | None:
    """The regular file of this name if it is there and lies inside the (resolved) folder."""
    try:
        path = (folder / name).resolve(strict=True)
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # not there, a zero byte, a loop of links
        return None


def last_active(folder: Path) -> float:
    """When the run last wrote something, in seconds since 1970."""
    times = []
    for name in ("events.jsonl", "metrics.jsonl", "config.yaml"):
        file = inside(folder, name)
        with suppress(OSError):  # it has just gone
            times.append(0.0 if file is None else file.stat().st_mtime)
    return max(times)
