"""The run folder: the one place where a run's truth is kept, readable long after its cluster is gone.

    runs/<name>/config.yaml  metrics.jsonl  events.jsonl  tensorboard/  episodes/  checkpoints/

In: settings and where runs live. Out: paths. An existing run is never written over by accident.
"""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core import settings
from core.config import Config


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def episodes(self) -> Path:
        return self.path / "episodes"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @classmethod
    def of(cls, config: Config) -> "RunFolder":
        """Where a run with these settings lives, whether it exists or not."""
        return cls(Path(config.run.runs_dir, config.run.name).absolute())

    @classmethod
    def create(cls, config: Config) -> "RunFolder":
        """A new folder holding the resolved settings; refuses one that exists."""
        folder = cls.of(config)
        try:
            folder.path.mkdir(parents=True)
        except FileExistsError:
            raise ValueError(_ways_out(folder.path)) from None
        folder.episodes.mkdir()
        folder.checkpoints.mkdir()
        settings.save(config, folder.config_file)
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run, to resume or to read."""
        folder = cls(path.absolute())
        if not folder.config_file.is_file():
            raise ValueError(f"{path} is not a run folder: it has no config.yaml")
        return folder

    def discard_if_unused(self) -> None:
        """A start that failed before its first event leaves nothing behind: its name can be used again."""
        if not (self.path / "events.jsonl").exists():
            shutil.rmtree(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """For the one process that trains in this folder; the lock goes with the process, however it ends."""
        with (self.path / ".lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise ValueError(_in_use(self.path, lock.read())) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}")
            lock.flush()
            yield

    def load_config(self, overrides: Sequence[str] = (), file: Path | None = None) -> Config:
        """The settings the run was started with, and what a file and words change now."""
        return settings.load_resolved(self.config_file, overrides, file)


def _ways_out(path: Path) -> str:
    return (
        f"the run folder {path} exists already. Either\n"
        f"  continue it:           vlarl train --resume {path}\n"
        f"  take another name:     vlarl train ... run.name={path.name}-2\n"
        f"  start over, losing it: rm -r {path}"
    )


def _in_use(path: Path, holder: str) -> str:
    return (
        f"the run in {path} is being trained by {holder or 'another process'}. Stop that first (SIGTERM: it "
        "writes a checkpoint), or take another name with run.name="
    )
