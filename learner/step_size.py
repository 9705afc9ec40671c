"""How large a step the policy takes: less within an update that goes too far, and in the ones after it.

In: the KL divergence of each minibatch from the policy before the update. Out: a share of `learner.lr`.
As LoRA's factors grow, one learning rate moves the policy further and further, and neither Adam nor clipped
ratios hold it (docs/algorithm.md).
"""

FACTOR = 1.5


class StepSize:
    """The same on every rank, where every rank is told the same."""

    def __init__(self, target_kl: float) -> None:
        self._target_kl = target_kl
        self.first = self.now = 1.0
        """What an update begins with, and what the next step takes."""

    def begin_update(self) -> None:
        """Every update may go as far as the first steps of the ones before it allow."""
        self.now = self.first

    def look_at(self, kl: float) -> None:
        """Of the minibatch whose step is next: over twice the target, this update is held back."""
        if 0 < 2 * self._target_kl < kl:
            self.now /= FACTOR

    def end_update(self) -> None:
        """Where steps had to become smaller, the next update begins with smaller ones; else with larger."""
        self.first = self.first / FACTOR if self.now < self.first else min(1.0, self.first * FACTOR)
