"""Actions to tokens and back: OpenVLA's 256 bin edges, its action statistics and its gripper convention.

In and out: `(K, 7)` actions as the simulator takes them (gripper -1 open, +1 close); `(7·K,)` token ids.
Between the two lie the policy's units: -1..1 per dimension, gripper 0 closed and 1 open.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

ACTION_DIM = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStatistics:
    """How one data set's actions are scaled to -1..1."""

    q01: np.ndarray
    """(7,) 1st percentile."""
    q99: np.ndarray
    """(7,) 99th percentile."""
    mask: np.ndarray
    """(7,) bool: which dimensions are scaled at all; the gripper is not."""

    @classmethod
    def from_json(cls, action: dict[str, Any]) -> "ActionStatistics":
        """From the `action` entry of published statistics."""
        missing = [key for key in ("q01", "q99") if key not in action]
        if missing:
            raise ValueError(f"action statistics lack {missing}; they have {sorted(action)}")
        q01, q99 = (np.asarray(action[key], np.float64) for key in ("q01", "q99"))
        return cls(q01=q01, q99=q99, mask=np.asarray(action.get("mask", np.ones_like(q01)), bool))

    def normalize(self, actions_K7: np.ndarray) -> np.ndarray:
        """x = 2 (a - q01) / (q99 - q01) - 1 where masked, clipped to -1..1."""
        span = np.maximum(self.q99 - self.q01, 1e-8)
        scaled = 2 * (actions_K7 - self.q01) / span - 1
        return np.clip(np.where(self.mask, scaled, actions_K7), -1, 1)

    def unnormalize(self, normalized_K7: np.ndarray) -> np.ndarray:
        """a = 0.5 (x + 1) (q99 - q01) + q01 where masked."""
        scaled = 0.5 * (normalized_K7 + 1) * (self.q99 - self.q01) + self.q01
        return np.where(self.mask, scaled, normalized_K7)


@dataclass(frozen=True, slots=True)
class ActionTokens:
    """The bins: `num_bins` edges over [-1, 1]; token ids count down from the end of `ids` as values grow."""

    ids: range

    def encode(self, normalized: np.ndarray) -> np.ndarray:
        """Nearest-below edge, as the published tokenizer's `digitize` does it."""
        edges = np.linspace(-1, 1, len(self.ids))
        return (self.ids.stop - np.digitize(np.clip(normalized, -1, 1), edges)).astype(np.int32)

    def decode(self, token_ids: np.ndarray) -> np.ndarray:
        """Bin centres; there is one fewer of them than edges, so two ids share the last."""
        edges = np.linspace(-1, 1, len(self.ids))
        centres = (edges[:-1] + edges[1:]) / 2
        indices = np.clip(self.ids.stop - token_ids.astype(np.int64) - 1, 0, len(centres) - 1)
        return centres[indices]


def gripper_to_simulator(actions_K7: np.ndarray) -> np.ndarray:
    """Openness 0..1 to the simulator's -1 (open) or +1 (close)."""
    out = actions_K7.copy()
    out[..., -1] = -np.sign(2 * actions_K7[..., -1] - 1)
    return out


def gripper_from_simulator(actions_K7: np.ndarray) -> np.ndarray:
    """The inverse: -1 (open) to 1, +1 (close) to 0."""
    out = actions_K7.copy()
    out[..., -1] = (1 - actions_K7[..., -1]) / 2
    return out


def compute_statistics(actions_N7: np.ndarray) -> dict[str, Any]:
    """The published `action` entry for these simulator actions; the gripper as openness, unmasked."""
    actions = gripper_from_simulator(np.asarray(actions_N7, np.float64))
    return {
        "mean": actions.mean(axis=0).tolist(),
        "std": actions.std(axis=0).tolist(),
        "max": actions.max(axis=0).tolist(),
        "min": actions.min(axis=0).tolist(),
        "q01": np.quantile(actions, 0.01, axis=0).tolist(),
        "q99": np.quantile(actions, 0.99, axis=0).tolist(),
        "mask": [True] * (ACTION_DIM - 1) + [False],
    }
