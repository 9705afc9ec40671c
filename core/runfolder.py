"""The run folder: the one place where a run's truth is kept, readable long after its cluster is gone.

    runs/<name>/config.yaml  metrics.jsonl  events.jsonl  tensorboard/  episodes/  checkpoints/

In: settings and where runs live. Out: paths. An existing run is never written over by accident.
"""

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
    def create(cls, config: Config) -> "RunFolder":
        """A new folder holding the resolved settings; refuses one that exists."""
        folder = cls(Path(config.run.runs_dir, config.run.name).absolute())
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

    def load_config(self, overrides: list[str]) -> Config:
        """The settings the run was started with, and what is changed now."""
        return settings.load_resolved(self.config_file, overrides)


def _ways_out(path: Path) -> str:
    return (
        f"the run folder {path} exists already. Either\n"
        f"  continue it:           vlarl train --resume {path}\n"
        f"  take another name:     vlarl train ... run.name={path.name}-2\n"
        f"  start over, losing it: rm -r {path}"
    )
