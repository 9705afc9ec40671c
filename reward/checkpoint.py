"""Reward models on disk: a folder with `rprm.json`, which says what it is, and weights beside it.

In: a trained network, or a folder. Out: a folder, or a `RewardModel` that scores. Its version is a checksum
of all that makes a score: two models of one version give one score.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward.model import RewardNetwork, ScoreWeights

DESCRIPTION_FILE = "rprm.json"
WEIGHT_FILES = "*.safetensors"
OWN_START = "start"
"""Folder inside a reward model's own, of the random weights that its adapter stands on."""


class Backend(Enum):
    NATIVE = "native"
    TRANSFORMERS = "transformers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What `rprm.json` holds."""

    backend: Backend
    base: str
    """Model that an adapter was trained on: a hub name, a folder, or one inside the reward model's own; empty
    where the folder holds all weights.
    """
    view_of: str
    """Policy whose view a model of transformers looks at; the other kind has its own."""
    weights: ScoreWeights
    training: dict[str, Any]
    """Options and data it came from, for people."""

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self) | {"backend": self.backend.value}, indent=2)
        (folder / DESCRIPTION_FILE).write_text(text + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Description":
        path = folder / DESCRIPTION_FILE
        if not path.is_file():
            raise ValueError(
                f"{folder} holds no {DESCRIPTION_FILE}: no reward model (`vlarl rprm train` makes one)"
            )
        fields = json.loads(path.read_text())
        return cls(
            backend=Backend(fields["backend"]),
            base=fields["base"],
            view_of=fields["view_of"],
            weights=ScoreWeights(**fields["weights"]),
            training=fields["training"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """A network that is ready to score."""

    network: RewardNetwork
    weights: ScoreWeights
    version: str

    def score(self, views_NHWC: np.ndarray, instructions: Sequence[str], batch_size: int) -> np.ndarray:
        """(N,) float32 scores in 0..1 of what the network is shown."""
        parts = range(0, len(views_NHWC), batch_size)
        scores = [
            self._score(views_NHWC[i : i + batch_size], instructions[i : i + batch_size]) for i in parts
        ]
        return np.concatenate(scores)

    @torch.inference_mode()
    def _score(self, views_BHWC: np.ndarray, instructions: Sequence[str]) -> np.ndarray:
        answers = self.network.answers(views_BHWC, instructions)
        return self.weights.score(answers).float().cpu().numpy()


def found_from_anywhere(model: str) -> str:
    """A hub name as it is; a folder with its whole path."""
    return str(Path(model).resolve()) if model and Path(model).is_dir() else model


def load_reward_model(folder: Path) -> RewardModel:
    """Network, score weights and version of a folder."""
    description = Description.read(folder)
    network = load_network(folder, description)
    network.module.eval()
    return RewardModel(network=network, weights=description.weights, version=_version(folder, description))


def load_network(folder: Path, description: Description) -> RewardNetwork:
    """The back end that the description names."""
    if description.backend is Backend.TRANSFORMERS:
        from reward.transformers_backend import TransformersNetwork

        return TransformersNetwork.from_adapter(description.base, description.view_of, folder)
    from reward.native import NativeNetwork

    if not description.base:
        return NativeNetwork(folder)
    own = folder / description.base
    return NativeNetwork.from_adapter(own if own.is_dir() else description.base, folder)


def _version(folder: Path, description: Description) -> str:
    """Twelve hexadecimal digits of a checksum over the network's weights and those of its answers.

    Of a base that an adapter stands on, its name alone: whoever trains that anew gives it another name.
    """
    digest = hashlib.sha256(json.dumps(asdict(description.weights)).encode() + description.base.encode())
    for path in sorted(folder.rglob(WEIGHT_FILES)):
        if OWN_START not in path.relative_to(folder).parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
