"""Ranks: how one update is split over several learner processes, and how their sums are put together.

In: arrays that every rank holds alike. Out: this rank's share of them, and sums over all ranks.
One rank alone needs no process group; with more, `torch.distributed` must have been initialised.
"""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process's place among the learner's processes."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    """Where collectives happen: nccl wants "cuda"."""

    def share(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """This rank's rows and their weights.

        All ranks get equally many, because each of their passes is a collective under ZeRO: where the rows
        do not divide, a row is repeated with weight zero.
        """
        per_rank = -(-len(rows) // self.size)
        mine = np.arange(self.rank, per_rank * self.size, self.size)
        return rows[np.minimum(mine, len(rows) - 1)], (mine < len(rows)).astype(np.float32)

    def wait_for_all(self) -> None:
        """Return once every rank has come here."""
        self.sum(np.zeros(1))

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Elementwise sum over all ranks, on every rank, bitwise the same."""
        if self.size == 1:
            return array
        total = torch.tensor(array, device=self.device)
        torch.distributed.all_reduce(total)
        return total.cpu().numpy()
